"""Users: accounts of hosts and attendees, authentication, profiles and follows."""
