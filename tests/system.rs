//! Whole-system tests: the real binary with real servers.

mod system {
    pub mod brokers;
    pub mod cornjacket;
    pub mod events;
    pub mod expected;
    pub mod full_stack;
    pub mod gateway;
    pub mod http;
    pub mod load;
    pub mod model_server;
    pub mod operated;
    pub mod python_server;
    pub mod tools;

    mod anomalies;
    mod backtest;
    mod bus_tail;
    mod crash;
    mod devices;
    mod devices_crash;
    mod doors;
    mod durability;
    mod faults;
    mod feedback;
    mod fold;
    mod forecasts;
    mod forgotten;
    mod formats;
    mod hostile;
    mod identity;
    mod model_python;
    mod mqtt;
    mod mqtt_crash;
    mod mqtt_doors;
    mod mqtt_replicas;
    mod mqtt_topics;
    mod mqtt_wills;
    mod openapi;
    mod outages;
    mod own_writes;
    mod poison;
    mod rebuild;
    mod refusals;
    mod remote;
    mod replay;
    mod reserved;
    mod retention;
    mod series;
    mod signals;
    mod silences;
    mod simulate;
    mod streams;
    mod tail;
    mod takeover;
    mod tls;
    mod traces;
}
