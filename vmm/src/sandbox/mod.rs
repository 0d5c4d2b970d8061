//! Launch of a sandbox: a [`plan`] becomes memory, devices, a gofer process and executors.

pub mod plan;
