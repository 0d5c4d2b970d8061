//! Prints the verdict of the KVM self-test and how long it took.
#![allow(clippy::print_stdout, reason = "an example prints")]

fn main() {
    let start = std::time::Instant::now();
    let verdict = platform_kvm::self_test::run();
    let elapsed = start.elapsed();
    match verdict {
        Ok(()) => println!("usable ({elapsed:?})"),
        Err(reason) => println!("unusable ({elapsed:?}): {reason}"),
    }
}
