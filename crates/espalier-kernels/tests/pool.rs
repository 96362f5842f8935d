//! A process that forks after its pool has started. A test binary of its own, since the pool is one
//! per process.

#![cfg(target_os = "linux")]

use espalier_kernels::pool_is_alive;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn alarm(seconds: u32) -> u32;
    fn _exit(status: i32) -> !;
}

/// What `asked` says in a child of this process.
fn in_a_child(asked: impl Fn() -> bool) -> bool {
    // SAFETY: the child allocates little, which glibc and musl allow after a fork, takes no lock
    // that a thread which it does not have may hold, and ends without cleaning up; if it waits for
    // ever, the alarm ends it.
    let status = unsafe {
        let child = fork();
        if child == 0 {
            alarm(20);
            _exit(if asked() { 1 } else { 2 });
        }
        let mut status = 0;
        assert_eq!(waitpid(child, &mut status, 0), child);
        status
    };
    assert!(status == 1 << 8 || status == 2 << 8, "the child ended with status {status:#x}");
    status == 1 << 8
}

#[test]
fn a_pool_is_lost_in_a_fork_whoever_started_it() {
    // Nobody has asked yet, so that this process does not know of the pool.
    rayon::join(|| (), || ());
    assert!(!in_a_child(pool_is_alive), "started by another user of rayon");
    assert!(pool_is_alive());
    assert!(!in_a_child(pool_is_alive), "started by this crate");
    let own_pool =
        || rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap().install(pool_is_alive);
    assert!(in_a_child(own_pool), "a pool that was made after the fork");
    assert!(pool_is_alive(), "the parent keeps its own");
}
