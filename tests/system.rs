//! Whole-system tests: the real binary with real servers.

mod system {
    pub mod cornjacket;
    pub mod events;
    pub mod tools;

    mod crash;
    mod doors;
    mod durability;
    mod refusals;
}
