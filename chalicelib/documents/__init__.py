"""Documents: what people carry to the door. QR codes, PDF tickets and passes for Apple Wallet."""
