"""What tests of several rooms share: servers, people, documents."""
