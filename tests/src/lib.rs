//! Harness of the integration tests: runs a program natively and in the sandbox and compares.
