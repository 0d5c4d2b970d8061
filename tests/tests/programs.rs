//! Real programs, natively and in the sandbox.

use integration_tests::compare;

/// One test per script in `tests/programs/`.
macro_rules! programs {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                compare(stringify!($name));
            }
        )*

        #[test]
        fn every_script_has_a_test() {
            let listed = [$(concat!(stringify!($name), ".sh")),*];
            let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
            for entry in std::fs::read_dir(directory).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(listed.contains(&name.as_str()), "{name} is not listed here");
            }
        }
    };
}

programs! {
    busybox_shell,
    coreutils_files,
    coreutils_sort,
    find_usr,
    gcc_compile,
    git_repository,
    identity,
    inotify_events,
    make_parallel,
    node_script,
    perl_script,
    posix_message_queues,
    proc_files,
    process_control,
    process_descriptors,
    python_asyncio,
    python_mmap,
    python_sqlite,
    python_subprocess,
    python_threads,
    seccomp_filters,
    shell_basics,
    shell_jobs,
    shell_signals,
    system_v_ipc,
    standard_streams,
    tar_round_trip,
    unnamed_files,
    user_namespaces,
}
