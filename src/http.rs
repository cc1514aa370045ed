//! HTTP: the server loop, routes, handlers, error mapping, access log.
//!
//! `server` accepts a connection, and hyper calls its `guard` for each request. The guard finds the
//! endpoint, gives the request an id, and makes sure that one response and one log line follow. The
//! `router` sends the request through warp's filters, which take it apart into a `call`, to its
//! handler in the `routes`. A handler returns `Result<Response, Problem>` and logs no refusals.

pub mod access_log;
pub mod accounts;
pub mod address_limits;
pub mod address_slots;
pub mod bearer;
pub mod body;
pub mod call;
pub mod channels;
pub mod chat;
pub mod client_addr;
pub mod connection;
pub mod context;
pub mod files;
pub mod guard;
pub mod health;
pub mod host;
pub mod listener;
pub mod metrics;
pub mod min_rate;
pub mod path_pattern;
pub mod presence;
pub mod query;
pub mod refusal;
pub mod request;
pub mod response;
pub mod route_table;
pub mod router;
pub mod routes;
pub mod server;
pub mod stall_timer;
