//! `lakechat chat` against the person, the script, the files and the network around it.

mod files;
mod network;
mod screen;
mod scripts;

use integration_tests::{Person, Server};

async fn texts(server: &Server, who: &Person, channel: &str) -> Vec<String> {
    let history = who.history(server, channel).await;
    let texts = history.iter().map(|m| m["text"].as_str().expect("a text"));
    texts.map(str::to_owned).collect()
}
