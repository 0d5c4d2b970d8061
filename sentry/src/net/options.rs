//! Options that sockets of all families have (socket(7)).

/// Default buffer size in bytes (net.core.wmem_default).
pub const DEFAULT_BUFFER: usize = 212_992;

/// Bounds of what SO_SNDBUF and SO_RCVBUF set, in bytes, after doubling.
const BUFFER_RANGE: (usize, usize) = (4608, 8 << 20);

/// The options.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Messages come with their sender's credentials (SO_PASSCRED).
    pub pass_credentials: bool,
    /// Bytes that may wait to be received by the other side (SO_SNDBUF).
    pub send_buffer: usize,
    /// SO_RCVBUF; unix sockets only remember it.
    pub receive_buffer: usize,
    /// How long a send waits, in nanoseconds (SO_SNDTIMEO); 0 is for ever.
    pub send_timeout: u64,
    /// How long a receive waits, in nanoseconds (SO_RCVTIMEO); 0 is for ever.
    pub receive_timeout: u64,
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// SO_KEEPALIVE.
    pub keep_alive: bool,
    /// SO_BROADCAST.
    pub broadcast: bool,
    /// SO_PRIORITY.
    pub priority: u32,
    /// SO_LINGER as (on, seconds); closing a unix socket never waits.
    pub linger: (bool, u32),
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            pass_credentials: false,
            send_buffer: DEFAULT_BUFFER,
            receive_buffer: DEFAULT_BUFFER,
            send_timeout: 0,
            receive_timeout: 0,
            reuse_address: false,
            reuse_port: false,
            keep_alive: false,
            broadcast: false,
            priority: 0,
            linger: (false, 0),
        }
    }
}

/// The size a buffer gets when `bytes` are asked for: double, for bookkeeping (socket(7)).
pub fn buffer_size(bytes: u32) -> usize {
    let doubled = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(2);
    doubled.clamp(BUFFER_RANGE.0, BUFFER_RANGE.1)
}
