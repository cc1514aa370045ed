//! The role that somebody has in a channel is one, wherever it is shown.

use integration_tests::{Person, Server};
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

/// In the list of channels, first: nothing has loaded the channel then.
const LISTS: [&str; 2] = ["/channels", "/me"];

async fn get(server: &Server, person: &Person, path: &str) -> Value {
    let answer = server.http().get(path, person.token()).await;
    answer.expect(200).json()
}

fn in_list(list: &Value, key: &str, name: &str, field: &str) -> Value {
    let all = list.as_array().expect("a list");
    let found = all.iter().find(|object| object[key] == name);
    found.unwrap_or_else(|| panic!("{name} in {list}"))[field].clone()
}

/// A person's role in `ops`, everywhere.
async fn roles(server: &Server, person: &Person) -> Vec<Value> {
    let mut roles = Vec::new();
    for path in LISTS {
        let channels = &get(server, person, path).await["channels"];
        roles.push(in_list(channels, "name", "ops", "role"));
    }
    roles.push(get(server, person, "/channels/ops").await["role"].clone());
    let members = &get(server, person, "/channels/ops/members").await["members"];
    roles.push(in_list(members, "user", person.name(), "role"));
    let welcome = person.connect(server).await.welcome;
    roles.push(in_list(&welcome["channels"], "name", "ops", "role"));
    roles
}

#[tokio::test]
async fn oldest_member_of_a_channel_without_an_owner_is_its_owner_wherever_it_is_shown() {
    let mut server = Server::start(MODE).await;
    let mut people = Vec::new();
    for name in ["zoe", "carl", "bob"] {
        people.push(Person::register(&server, name).await);
    }
    let [zoe, carl, bob] = &people[..] else {
        panic!("three")
    };
    let membership = async |method: Method, person: &Person| {
        let path = format!("/channels/ops/members/{}", person.name());
        let answer = server.http().call(method, &path, person.token()).await;
        assert!(answer.status.is_success(), "{answer:?}");
    };
    zoe.create_channel(&server, "ops").await;
    membership(Method::DELETE, zoe).await;
    membership(Method::PUT, carl).await;
    membership(Method::PUT, bob).await;
    let shown = async |server: &Server| {
        assert_eq!(roles(server, carl).await, vec![json!("owner"); 5]);
        assert_eq!(roles(server, bob).await, vec![json!("member"); 5]);
        let channels = &get(server, zoe, "/channels").await["channels"];
        assert_eq!(in_list(channels, "name", "ops", "role"), Value::Null);
        assert_eq!(in_list(channels, "name", "general", "role"), Value::Null);
    };
    shown(&server).await;
    // What it is shown by is then read from history.
    server.kill_9().await;
    server.restart().await;
    shown(&server).await;
}
