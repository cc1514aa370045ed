//! What of a request stands in the log and in the metrics.

use std::io;
use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::fmt::MakeWriter;

use super::demo::{Demo, until};

#[tokio::test]
async fn requests_are_counted_under_their_pattern() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    for path in ["/things/a", "/things/b", "/nowhere", "/else"] {
        client
            .ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
    }
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    demo.waiting().await;
    demo.shutdown.begin();
    demo.shutdown.cut();
    let has = |line: &str| recorder.handle().render().contains(line);
    let count = |route: &str, status: &str, times: u32| {
        let labels = format!(r#"method="GET",route="{route}",status="{status}""#);
        has(&format!("lakechat_http_requests_total{{{labels}}} {times}"))
    };
    until(|| count("/wait", "unanswered", 1)).await;
    assert!(
        count("/things/<t>", "200", 2),
        "{}",
        recorder.handle().render()
    );
    assert!(count("unknown", "404", 2), "{}", recorder.handle().render());
    assert!(has("lakechat_http_requests_under_way 0"));
    until(|| has("lakechat_connections_open 0")).await;
}

#[tokio::test]
async fn each_request_is_one_line_without_what_its_path_holds() {
    let log = Log::default();
    let _guard = log.collect();
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let request = "GET /things/private?token=secret HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = client.ask(request).await;
    let id = answer.header("x-request-id").expect("each has one");
    let line = log.only_line_with(id);
    for part in [
        "INFO",
        "GET /things/<t> 200",
        "size_bytes=5",
        r#"user="ann""#,
        "cut=false",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!log.text().contains("private") && !log.text().contains("secret"));
}

#[tokio::test]
async fn a_failure_is_logged_once_with_its_causes_and_told_to_nobody() {
    let log = Log::default();
    let _guard = log.collect();
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    let answer = client.ask("GET /fails HTTP/1.1\r\nHost: a\r\n\r\n").await;
    answer.is_refused(500, "internal");
    assert!(!answer.body.contains("disk"), "{}", answer.body);
    let line = log.only_line_with("the disk is full");
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains(answer.header("x-request-id").expect("each has one")));
}

#[tokio::test]
async fn an_answer_that_its_client_did_not_take_is_marked() {
    let log = Log::default();
    let _guard = log.collect();
    let demo = Demo::start().await;
    let mut client = demo.connect().await;
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.first_byte().await;
    drop(client);
    until(|| log.text().contains("GET /large 200")).await;
    assert!(log.only_line_with("GET /large 200").contains("cut=true"));
}

/// The log of one test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let lines = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(self.clone());
        tracing::subscriber::set_default(lines.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }

    #[track_caller]
    fn only_line_with(&self, part: &str) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(part)).collect();
        assert_eq!(lines.len(), 1, "{text}");
        lines[0].to_owned()
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
