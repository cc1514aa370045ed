//! Where a request begins and ends, and whom it is addressed to.

use super::demo::Demo;

#[tokio::test]
async fn a_missing_doubled_or_malformed_host_is_refused_and_closes() {
    let demo = Demo::start().await;
    for hosts in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: \r\n",
        "Host: u@a\r\n",
    ] {
        let mut client = demo.connect().await;
        let answer = client
            .ask(&format!("GET /ping HTTP/1.1\r\n{hosts}\r\n"))
            .await;
        answer.is_refused(400, "bad_request");
        answer.closes();
        client.is_closed().await;
    }
    let mut old = demo.connect().await;
    old.ask("GET /ping HTTP/1.0\r\n\r\n").await.is("pong");
}

#[tokio::test]
async fn a_target_in_another_form_gets_a_sane_answer() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    client
        .ask("GET http://b.example/ping HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .is("pong");
    for target in ["OPTIONS *", "CONNECT b.example:443"] {
        let mut client = demo.connect().await;
        let answer = client
            .ask(&format!("{target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        answer.is_refused(400, "bad_request");
    }
    for nonsense in [
        "GET ping HTTP/1.1\r\n\r\n",
        "GET /p ing HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
    ] {
        let mut client = demo.connect().await;
        let answer = client.ask(nonsense).await;
        answer.is_refused(400, "bad_request");
        answer.closes();
        client.is_closed().await;
    }
}

#[tokio::test]
async fn a_client_that_has_sent_all_it_has_to_say_is_answered() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.finish_sending().await;
    demo.waiting().await;
    demo.go_on();
    client.answer().await.is("done");
    client.is_closed().await;

    let mut client = demo.connect().await;
    let post = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    client.send(&format!("{post}abc")).await;
    client.finish_sending().await;
    client.answer().await.is("3");
    client.is_closed().await;

    let mut half = demo.connect().await;
    half.send(&format!("{post}ab")).await;
    half.finish_sending().await;
    half.answer().await.is_refused(400, "bad_request");
    half.is_closed().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let (ping, lost) = (
        "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /lost HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let post = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    client.send(&format!("{ping}{post}{lost}{ping}")).await;
    client.answer().await.is("pong");
    client.answer().await.is("3");
    client.answer().await.is_refused(404, "not_found");
    client.answer().await.is("pong");
}

/// The body holds a whole request. Whoever takes Content-Length for the end of it would execute
/// it; chunked is what counts.
#[tokio::test]
async fn a_request_hidden_behind_two_lengths_is_not_executed() {
    let demo = Demo::start().await;
    let hidden = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for path in ["/upload", "/refuse"] {
        for lengths in [
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
            "Transfer-Encoding: gzip, chunked\r\nContent-Length: 4",
        ] {
            let mut client = demo.connect().await;
            let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n{chunk}");
            let _ = client.try_send(request.as_bytes()).await;
            client.finish_sending().await;
            let all = client.rest().await;
            assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
        }
    }
    for lengths in [
        "Content-Length: 0\r\nContent-Length: 4",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: nonsense",
    ] {
        let mut client = demo.connect().await;
        let request = format!("POST /upload HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n{hidden}");
        assert_eq!(client.ask(&request).await.status, 400, "{lengths}");
        client.is_closed().await;
    }
    assert_eq!(demo.pings(), 0);
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_none() {
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let request = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\
                   Content-Length: 5\r\n\r\nhello";
    client.ask(request).await.is_refused(400, "bad_request");
}
