//! What tasks ask for about scheduling (sched(7)). It is stored and told, but executors serve all
//! tasks alike.

/// SCHED_OTHER.
pub const POLICY_OTHER: u32 = 0;

/// Policy, priority, niceness and affinity of a task.
#[derive(Clone, Debug)]
pub struct SchedulingPolicy {
    /// SCHED_OTHER, SCHED_FIFO, ...
    pub policy: u32,
    /// Static priority of a real-time policy; else 0.
    pub priority: u32,
    /// Niceness, -20 to 19.
    pub nice: i32,
    /// Executors it may run on, bit by bit.
    pub affinity: u64,
    /// Children start with the default policy (SCHED_RESET_ON_FORK).
    pub reset_on_fork: bool,
    /// I/O class and priority (ioprio_set(2)).
    pub io_priority: u32,
    /// How late its timers may be, in nanoseconds (PR_SET_TIMERSLACK).
    pub timer_slack: u64,
    /// What that is reset to.
    pub default_timer_slack: u64,
}

/// Timer slack of the first task, in nanoseconds.
const TIMER_SLACK: u64 = 50_000;

impl Default for SchedulingPolicy {
    fn default() -> Self {
        Self {
            policy: POLICY_OTHER,
            priority: 0,
            nice: 0,
            affinity: u64::MAX,
            reset_on_fork: false,
            io_priority: 0,
            timer_slack: TIMER_SLACK,
            default_timer_slack: TIMER_SLACK,
        }
    }
}

impl SchedulingPolicy {
    /// What a child starts with.
    pub fn inherited(&self) -> Self {
        let default_timer_slack = self.timer_slack;
        if !self.reset_on_fork {
            return Self { default_timer_slack, ..self.clone() };
        }
        let nice = if self.policy == POLICY_OTHER { self.nice.max(0) } else { 0 };
        let timer_slack = self.timer_slack;
        Self { nice, affinity: self.affinity, timer_slack, default_timer_slack, ..Self::default() }
    }
}
