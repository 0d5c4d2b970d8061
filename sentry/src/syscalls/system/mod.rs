//! Calls about the system as a whole.

mod information;
mod names;
mod random;

pub use information::{sysinfo, syslog};
pub use names::{setdomainname, sethostname, uname};
pub use random::getrandom;
