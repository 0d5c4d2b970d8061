//! `cargo run --release -p integration-tests --bin benchmark`: what the sandbox costs.
//!
//! Times the operations of `microbenchmarks` natively, in the sandbox on each platform that works
//! here, and under runc and crun where they are installed, in turn and in one run, and prints ratios
//! to native. A host's speed drifts, so only figures of one run may be compared. Arguments name the
//! tables: operations, starts, phases, memory, life-cycle, docker, exits; none means all. With `--report DIRECTORY` before
//! them it also writes benchmark.md and benchmark.html there. With `--instructions` it only times the
//! operations on the kvm platform: in a machine whose clock counts instructions (tests/kvm/README.md)
//! the figures are instructions. SANDBOX_TEST_SIZE=small takes fewer rounds, for emulated machines.
#![allow(clippy::print_stdout, reason = "a command that prints a report")]
#![allow(clippy::float_arithmetic, reason = "ratios")]

use std::{env, fs, io, path::Path};

use integration_tests::benchmark::{
    Contender, Report, Table, docker_start, exits_per_operation, hide_unified_hierarchy,
    idle_program_bytes, idle_sandbox_bytes, life_cycle, operation_times, phases, start_times,
    sysemu_stop_nanoseconds,
};

fn main() -> io::Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--instructions") {
        print_instructions();
        return Ok(());
    }
    let has_directory = arguments.len() > 1 && arguments[0] == "--report";
    let directory = has_directory.then(|| arguments.drain(..2).nth(1)).flatten();
    hide_unified_hierarchy();
    let (contenders, left_out) = Contender::all();
    let mut report = Report { machine: machine(), left_out, tables: Vec::new() };
    println!("{}", report.heading());
    for (name, measure) in TABLES {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            let tables = measure(&contenders);
            tables.iter().for_each(|table| println!("{}", table.markdown()));
            report.tables.extend(tables);
        }
    }
    if let Some(directory) = directory.as_deref().map(Path::new) {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("benchmark.md"), report.markdown())?;
        fs::write(directory.join("benchmark.html"), report.html())?;
    }
    Ok(())
}

/// Measures one or more tables.
type Measure = fn(&[Contender]) -> Vec<Table>;

const TABLES: [(&str, Measure); 7] = [
    ("operations", |contenders| {
        let operations = operations(contenders);
        let stops = stops(&operations);
        let faster = has_kvm(contenders).then(|| speed_up(&operations));
        [Some(operations), Some(stops), faster].into_iter().flatten().collect()
    }),
    ("starts", |contenders| vec![starts(contenders)]),
    ("phases", |contenders| vec![phases(contenders)]),
    ("memory", |contenders| vec![memory(contenders)]),
    ("life-cycle", |contenders| vec![life_cycle(contenders)]),
    ("docker", |_| docker_start().into_iter().collect()),
    ("exits", |contenders| has_kvm(contenders).then(exits).into_iter().collect()),
];

fn has_kvm(contenders: &[Contender]) -> bool {
    contenders.contains(&Contender::Sandbox("kvm"))
}

/// `many`, or `few` where time is short.
fn times(many: usize, few: usize) -> usize {
    if env::var("SANDBOX_TEST_SIZE").is_ok_and(|size| size == "small") { few } else { many }
}

fn names(contenders: &[Contender]) -> Vec<String> {
    contenders.iter().map(|contender| contender.name().to_owned()).collect()
}

fn operations(contenders: &[Contender]) -> Table {
    Table {
        title: "Operations".into(),
        note:
            "Nanoseconds an operation, the best of several rounds in a process, the median of five \
               processes, and the ratio to native."
                .into(),
        columns: names(contenders),
        unit: "ns",
        decimals: 0,
        rows: operation_times(contenders, 5),
        has_ratios: true,
    }
}

fn figure(table: &Table, figures: &[Option<f64>], contender: &str) -> Option<f64> {
    figures[table.columns.iter().position(|name| name == contender)?]
}

/// How many times faster kvm is than ptrace.
fn speed_up(operations: &Table) -> Table {
    let ratio = |figures: &Vec<Option<f64>>| {
        let ptrace = figure(operations, figures, "ptrace");
        ptrace.zip(figure(operations, figures, "kvm")).map(|(ptrace, kvm)| ptrace / kvm)
    };
    Table {
        title: "kvm against ptrace".into(),
        note: "How many times faster an operation is on kvm.".into(),
        columns: vec!["faster".into()],
        unit: "x",
        decimals: 1,
        rows: operations.rows.iter().map(|(name, own)| (name.clone(), vec![ratio(own)])).collect(),
        has_ratios: false,
    }
}

/// The figures of ptrace again, with the least that any system call can cost on it as the unit.
fn stops(operations: &Table) -> Table {
    let stop = sysemu_stop_nanoseconds() as f64;
    let in_stops = |figures: &Vec<Option<f64>>| {
        vec![figure(operations, figures, "ptrace").map(|figure| figure / stop)]
    };
    Table {
        title: "Operations in bare stops".into(),
        note: format!("A PTRACE_SYSEMU stop, tracer and child on one processor, takes {stop} ns."),
        columns: vec!["ptrace".into()],
        unit: "",
        decimals: 2,
        rows: operations.rows.iter().map(|(name, own)| (name.clone(), in_stops(own))).collect(),
        has_ratios: false,
    }
}

fn starts(contenders: &[Contender]) -> Table {
    let times =
        start_times(contenders, times(15, 3)).into_iter().map(|(_, time)| Some(time)).collect();
    Table {
        title: "Start".into(),
        note: "Milliseconds from start to end of /bin/true, medians.".into(),
        columns: names(contenders),
        unit: "ms",
        decimals: 1,
        rows: vec![("start".into(), times)],
        has_ratios: true,
    }
}

/// What the starts of the sandboxes are made of.
fn phases(contenders: &[Contender]) -> Table {
    let platforms: Vec<_> = platforms(contenders).collect();
    let times: Vec<_> =
        platforms.iter().map(|platform| phases::start_phases(platform, times(9, 3))).collect();
    let row = |(index, name): (usize, &'static str)| {
        (name.to_owned(), times.iter().map(|own| own[index]).collect())
    };
    Table {
        title: "Phases of a start".into(),
        note: "Milliseconds, medians, with a log. The first instruction of the program follows \
               the phase before the last."
            .into(),
        columns: platforms.iter().map(|name| (*name).to_owned()).collect(),
        unit: "ms",
        decimals: 1,
        rows: phases::names().enumerate().map(row).collect(),
        has_ratios: false,
    }
}

/// The platforms among the contenders.
fn platforms(contenders: &[Contender]) -> impl Iterator<Item = &'static str> {
    contenders.iter().filter_map(|contender| match contender {
        Contender::Sandbox(platform) => Some(*platform),
        _ => None,
    })
}

fn memory(contenders: &[Contender]) -> Table {
    let kibibytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1024.0);
    let program = kibibytes(idle_program_bytes());
    let mut columns = vec!["native".to_owned()];
    let (mut all, mut beyond) = (vec![program], vec![None]);
    for platform in platforms(contenders) {
        let sandbox = kibibytes(idle_sandbox_bytes(platform));
        columns.push(platform.to_owned());
        all.push(sandbox);
        beyond.push(sandbox.zip(program).map(|(sandbox, program)| sandbox - program));
    }
    Table {
        title: "Memory".into(),
        note: "Proportional set size of all processes of a shell that waits.".into(),
        columns,
        unit: "KiB",
        decimals: 0,
        rows: vec![("idle".into(), all), ("beyond the program".into(), beyond)],
        has_ratios: false,
    }
}

/// Operations that are to cost no exit.
const EXITS_OF: [&str; 10] = [
    "getpid",
    "read-dev-zero",
    "stat",
    "pread-cached",
    "first-touch-page",
    "pipe-round-trip",
    "futex-wake",
    "thread-hand-off",
    "epoll-ready",
    "fork-exit",
];

fn exits() -> Table {
    let rows = EXITS_OF.into_iter().filter_map(|name| {
        let exits = exits_per_operation(name)?;
        let of_operation = (exits.all - exits.memory - exits.interrupts).max(0.0);
        let figures = [exits.all, exits.memory, exits.interrupts, of_operation].map(Some);
        Some((name.to_owned(), figures.to_vec()))
    });
    Table {
        title: "VM exits".into(),
        note: "Exits an operation on one vCPU, without those of the host's own interrupts: all; \
               memory that the host provided; interrupts, here of the timer of time slices, which is set \
               at most every 10 ms while another task waits for the vCPU; the rest, which is the \
               operation's."
            .into(),
        columns: ["all", "memory", "interrupts", "operation"].map(str::to_owned).to_vec(),
        unit: "",
        decimals: 3,
        rows: rows.collect(),
        has_ratios: false,
    }
}

fn print_instructions() {
    for (name, instructions) in Contender::Sandbox("kvm").operations() {
        println!("{name} {instructions}");
    }
}

/// The processor, and what emulates it if something does.
fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let virtual_machine = if processors.contains(" hypervisor") { ", virtual" } else { "" };
    format!("{model}, {count} processors{virtual_machine}")
}
