"""What others pay for a part of the same job, built as well as it can be. See the README."""
