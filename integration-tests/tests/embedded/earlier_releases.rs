//! A data folder of an earlier release.

use anyhow::{Context, Result, ensure};
use integration_tests::earlier_release::{PASSWORD, SMALL, large, messages, replace_folder};
use integration_tests::{Server, Ws, audit, eventually};
use reqwest::Method;
use serde_json::json;

use crate::MODE;

async fn token(server: &Server, name: &str) -> Result<String> {
    let body = json!({"username": name, "password": PASSWORD});
    let login = server.http().open(Method::POST, "/login", body).await;
    let login = login.expect(200).json();
    Ok(login["token"].as_str().context("a token")?.to_owned())
}

#[tokio::test]
async fn data_folder_of_0_1_is_served_and_goes_on() -> Result<()> {
    let mut server = Server::start(MODE).await;
    assert!(server.stop().await.success());
    replace_folder("0.1", server.data_dir())?;
    server.restart().await;

    let token = token(&server, "ann").await?;
    let get = async |path: &str| server.http().get(path, &token).await.expect(200);
    let page = get("/channels/ops/messages?limit=50").await.json();
    let expected = messages("0.1")?;
    assert_eq!(page["messages"], json!(expected));
    let file = |n: usize| {
        format!(
            "/download/{}",
            expected[n]["file"]["id"].as_str().expect("an id")
        )
    };
    assert_eq!(get(&file(4)).await.body, SMALL);
    assert_eq!(get(&file(5)).await.body, large());
    let ops = get("/channels/ops").await.json();
    assert_eq!(
        (&ops["topic"], &ops["role"]),
        (&json!("another topic"), &json!("owner"))
    );
    assert_eq!(ops["members"], 2);
    assert_eq!(get("/channels/past").await.json()["state"], "archived");

    // A cursor of before, and what comes now.
    let mut ws = Ws::connect(server.address(), &token).await;
    let joined = ws.join("ops", expected[2]["id"].as_str()).await;
    assert_eq!(joined["resumed"], true);
    let missed = ws.messages(3).await;
    assert_eq!(missed[0]["text"], "an answer");
    let ack = ws.say("ops", "k-7", "goes on").await;
    assert!(ack["id"].as_str() > expected[5]["id"].as_str(), "{ack}");
    ws.close().await;
    eventually("it is archived", async || {
        let lag = server.http().metric("lakechat_archive_lag_records").await;
        (lag == Some(0)).then_some(())
    })
    .await;
    let audited = audit::folder(server.data_dir(), &["--older"], &[]).await?;
    ensure!(audited.code == 0, "{audited:#?}");
    Ok(())
}
