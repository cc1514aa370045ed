//! What admins do with the accounts of others, over HTTP and by the command.

use integration_tests::people::PASSWORD;
use integration_tests::{Answer, Server, http};
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

/// A server that only its admin makes accounts for.
async fn administered() -> (Server, String) {
    let closed = [("LAKECHAT_AUTH__REGISTRATION", "closed")];
    let mut server = Server::with(MODE, &closed).await;
    server.create_admin("admin").await;
    let token = token(&log_in(&server, "admin", PASSWORD).await.expect(200));
    (server, token)
}

async fn log_in(server: &Server, user: &str, password: &str) -> Answer {
    let body = json!({"username": user, "password": password});
    server.http().open(Method::POST, "/login", body).await
}

fn token(answer: &Answer) -> String {
    let answer = answer.json();
    answer["token"].as_str().expect("a token").to_owned()
}

/// One command of `lakechat admin`; what it printed.
async fn command(server: &Server, args: &[&str], code: i32) -> String {
    let (url, lead) = (server.url(), ["admin"]);
    let tail = ["--url", &url, "--user", "admin"];
    let args = [&lead[..], args, &tail].concat();
    let ran = server.command(&args, &[("LAKECHAT_PASSWORD", PASSWORD)]);
    let ran = ran.await;
    let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert_eq!(ran.status.code(), Some(code), "{args:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_manages_accounts_and_each_action_is_recorded() {
    let (server, admin) = administered().await;
    let http = server.http();
    let patch = async |user: &str, body: Value| {
        let request = http.request(Method::PATCH, &format!("/admin/users/{user}"));
        http::send(request.bearer_auth(&admin).json(&body)).await
    };

    let body = json!({"username": "bob"});
    let made = http.post("/admin/users", &admin, body).await.expect(201);
    let made = made.json();
    assert_eq!(
        (&made["admin"], &made["disabled"]),
        (&json!(false), &json!(false))
    );
    let password = made["password"].as_str().expect("a random one");
    let bob = token(&log_in(&server, "bob", password).await.expect(200));
    for (method, path) in [
        (Method::GET, "/admin/users"),
        (Method::GET, "/admin/users/admin"),
        (Method::DELETE, "/admin/users/admin/logins"),
        (Method::GET, "/admin/audit"),
    ] {
        let refused = http.call(method, path, &bob).await.expect(403);
        assert_eq!(refused.code(), "admin_required", "{path}");
    }
    let listed = http.get("/admin/users?limit=1", &admin).await.expect(200);
    let listed = listed.json();
    assert_eq!(listed["users"][0]["user"], "admin");
    assert_eq!(listed["next"], "admin");
    let next = http
        .get("/admin/users?after=admin", &admin)
        .await
        .expect(200);
    assert_eq!(next.json()["users"][0]["user"], "bob");
    let shown = http
        .get("/admin/users/bob", &admin)
        .await
        .expect(200)
        .json();
    assert_eq!(shown["logins"].as_array().map(Vec::len), Some(1), "{shown}");

    let disabled = patch("bob", json!({"disabled": true})).await.expect(200);
    assert_eq!(disabled.json()["disabled"], true);
    let refused = log_in(&server, "bob", password).await.expect(403);
    assert_eq!(refused.code(), "account_disabled");
    let refused = http.get("/me", &bob).await.expect(401);
    assert_eq!(refused.code(), "token_revoked");
    let change = json!({"disabled": false, "password": "battery staple", "admin": true});
    patch("bob", change).await.expect(200);
    log_in(&server, "bob", password).await.expect(401);
    let bob = token(&log_in(&server, "bob", "battery staple").await.expect(200));
    http.get("/admin/users", &bob).await.expect(200);
    let ended = http.call(Method::DELETE, "/admin/users/bob/logins", &admin);
    ended.await.expect(204);
    http.get("/me", &bob).await.expect(401);

    patch("bob", json!({"admin": false})).await.expect(200);
    for change in [json!({"admin": false}), json!({"disabled": true})] {
        let refused = patch("admin", change).await.expect(409);
        assert_eq!(refused.code(), "last_admin");
    }
    let invite = "/invites/00000000-0000-4000-8000-000000000000";
    let missing = http.call(Method::DELETE, invite, &admin).await.expect(404);
    assert_eq!(missing.code(), "invite_not_found");
    let missing = patch("nobody", json!({"disabled": true})).await.expect(404);
    assert_eq!(missing.code(), "user_not_found");

    let mut actions = Vec::new();
    let mut path = "/admin/audit?limit=3".to_owned();
    loop {
        let page = http.get(&path, &admin).await.expect(200).json();
        for entry in page["entries"].as_array().expect("a list") {
            actions.push(format!(
                "{} {} {}",
                entry["by"], entry["action"], entry["user"]
            ));
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/admin/audit?limit=3&after={next}");
    }
    actions.reverse();
    // Those of one call have the same time.
    actions[3..6].sort_unstable();
    let expected = [
        ("(command line)", "create_admin", "admin"),
        ("admin", "create", "bob"),
        ("admin", "disable", "bob"),
        ("admin", "enable", "bob"),
        ("admin", "make_admin", "bob"),
        ("admin", "set_password", "bob"),
        ("admin", "end_logins", "bob"),
        ("admin", "remove_admin", "bob"),
    ];
    let expected = expected.map(|(by, action, user)| format!("{by:?} {action:?} {user:?}"));
    assert_eq!(actions, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_does_the_same_by_a_server_that_runs() {
    let (server, _) = administered().await;
    let added = command(&server, &["users", "add", "eve", "--admin"], 0).await;
    let password = added
        .lines()
        .find_map(|line| line.strip_prefix("its password: "));
    let password = password.unwrap_or_else(|| panic!("{added}"));
    let eve = token(&log_in(&server, "eve", password).await.expect(200));

    let table = command(&server, &["users", "list"], 0).await;
    let words = |name: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{table}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(words("USER"), ["USER", "CREATED", "ADMIN", "DISABLED"]);
    assert_eq!(words("eve")[2..], ["yes", "-"]);

    let asked = command(&server, &["users", "end-logins", "eve"], 1).await;
    assert!(asked.contains("--yes"), "{asked}");
    server.http().get("/me", &eve).await.expect(200);
    command(&server, &["users", "end-logins", "eve", "--yes"], 0).await;
    server.http().get("/me", &eve).await.expect(401);

    let disabled = command(&server, &["users", "disable", "eve", "--json"], 0).await;
    let disabled: Value = serde_json::from_str(&disabled).expect("JSON");
    assert_eq!(disabled["disabled"], true);
    let refused = command(&server, &["users", "remove-admin", "admin"], 1).await;
    assert!(refused.contains("last_admin"), "{refused}");
    command(&server, &["users", "enable", "eve"], 0).await;
    let file = server.data_dir().join("new-password");
    std::fs::write(&file, "battery staple\n").expect("a file");
    let file = file.to_str().expect("a plain name");
    let set = [
        "users",
        "set-password",
        "eve",
        "--yes",
        "--new-password-file",
        file,
    ];
    command(&server, &set, 0).await;
    log_in(&server, "eve", "battery staple").await.expect(200);

    let shown = command(&server, &["users", "show", "eve"], 0).await;
    assert!(shown.contains("127.0.0.1"), "{shown}");
    let audit = command(&server, &["audit", "--limit", "2"], 0).await;
    let rows: Vec<_> = audit.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{audit}");
    assert!(rows[0].contains("set_password"), "{audit}");
}
