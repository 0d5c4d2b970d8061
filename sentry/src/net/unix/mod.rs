//! AF_UNIX (unix(7)).

mod address;
mod connect;
mod in_flight;
mod inbox;
mod names;
mod naming;
mod socket;
mod transfer;

pub use address::UnixAddress;
pub use names::UnixSockets;
pub use socket::UnixSocket;

#[cfg(test)]
mod tests;
