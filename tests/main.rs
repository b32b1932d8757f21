//! A whole parent from outside: through its sockets, against recordings of real children, real peers, and bad company.

mod api;

mod captures;

mod child;

mod clients;

mod command;

mod company;

mod compression;

mod differential;

mod fleet;

mod forgetting;

mod functions;

mod golden_api;

mod handshake;

mod harness;

mod large_answers;

mod linux;

mod memory_modes;

mod mirror_pair;

mod nodes;

mod peer;

mod plugins;

mod refusals;

mod reload;

mod replication;

mod restart;

mod sending;

mod sending_functions;

mod sending_links;

mod sending_tls;

mod setups;

mod synth;

mod tls;

mod web_access;
