//! HBase away, slow or not as it should be: each a clear message, and nothing hangs.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration_tests::hbase::{Tables, create, drop_table, settings, settings_by_way_of};
use integration_tests::on_hbase::log_row;
use integration_tests::{contract, eventually, stack, within};
use lakechat_cluster::hbase::{HBase, HBaseSettings, SchemaError};
use lakechat_core::ports::{Caller, PortError};

fn reason(error: PortError) -> (bool, String) {
    let unavailable = matches!(error, PortError::Unavailable { .. });
    (unavailable, error.reason().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_never_answers_is_given_up_in_time() -> Result<()> {
    // The kernel takes the connection; nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let address = silent.local_addr()?.to_string();
    let hbase = HBase::start(&HBaseSettings {
        timeout: Duration::from_millis(300),
        ..settings_by_way_of(&address)
    })?;
    let began = Instant::now();
    let (away, reason) = reason(hbase.log_row().await.expect_err("no answer"));
    assert!(away, "{reason}");
    assert!(
        reason.contains("did not answer getRowWithColumns in time"),
        "{reason}"
    );
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_does_not_wait_for_an_answer() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let address = silent.local_addr()?.to_string();
    let hbase = HBase::start(&HBaseSettings {
        timeout: Duration::from_secs(600),
        ..settings_by_way_of(&address)
    })?;
    let directory = hbase.directory();
    let name = contract::user();
    let mut asking = tokio::spawn(async move { directory.users.find(&name).await.map(|_| ()) });
    let _taken = tokio::task::spawn_blocking(move || silent.accept()).await??;
    assert!(!asking.is_finished());
    asking.abort();
    // The future is gone and with it the last hold on the connections, whose thread still waits.
    let _ = (&mut asking).await;
    let stopping = tokio::task::spawn_blocking(move || drop(hbase));
    tokio::time::timeout(Duration::from_secs(10), stopping).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_one_user_leave_room_for_others_and_a_connection_for_logins() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let settings = HBaseSettings {
        timeout: Duration::from_secs(600),
        ..settings_by_way_of(&silent.local_addr()?.to_string())
    };
    let hbase = HBase::start(&settings)?;
    let users = hbase.directory().users;
    let read = |by: Caller| {
        let users = users.clone();
        tokio::spawn(by.scope(async move { users.find(&contract::user()).await.map(drop) }))
    };
    let accept = async |count: usize| {
        let silent = silent.try_clone()?;
        let accepting = move || (0..count).map(|_| silent.accept()).collect();
        let accepted: Vec<std::io::Result<_>> =
            within(tokio::task::spawn_blocking(accepting)).await?;
        accepted.into_iter().collect::<Result<Vec<_>, _>>()
    };
    let (ann, bob) = (contract::user(), contract::user());
    // 256 may wait, and each connection is busy with one.
    let mut reads: Vec<_> = (0..300).map(|_| read(Caller::user(ann.clone()))).collect();
    let _busy = accept(settings.connections).await?;
    let refused = 300 - 256 - settings.connections;
    eventually("the others are refused", async || {
        let ended = reads.iter().filter(|read| read.is_finished()).count();
        (ended >= refused).then_some(())
    })
    .await;
    let ended = reads.iter().position(|read| read.is_finished());
    let ended = reads.swap_remove(ended.context("one has ended")?);
    let (away, reason) = reason(ended.await?.expect_err("it was refused"));
    assert!(away && reason.contains("of this user"), "{reason}");

    let waits = read(Caller::user(bob));
    let login = read(Caller::unknown());
    let _own = accept(1).await?;
    assert!(!waits.is_finished() && !login.is_finished());
    let waiting = reads.iter().chain([&waits, &login]);
    waiting.for_each(|read| read.abort());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_port_is_told_with_its_address() -> Result<()> {
    let address = {
        let gone = TcpListener::bind("127.0.0.1:0")?;
        gone.local_addr()?.to_string()
    };
    let hbase = HBase::start(&settings_by_way_of(&address))?;
    for _ in 0..2 {
        let (away, reason) = reason(hbase.log_row().await.expect_err("nobody is there"));
        assert!(away && reason.contains(&address), "{reason}");
    }
    let refused = hbase.check_schema(None).await.expect_err("nobody is there");
    assert!(matches!(refused, SchemaError::Unavailable(_)), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_speaks_something_else_is_told_so() -> Result<()> {
    let other = TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?.to_string();
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        use std::io::{Read, Write};
        let (mut stream, _) = other.accept()?;
        stream.read_exact(&mut [0; 16])?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let hbase = HBase::start(&settings_by_way_of(&address))?;
    let (away, reason) = reason(hbase.log_row().await.expect_err("no Thrift"));
    assert!(
        away && reason.contains("does not speak Thrift1"),
        "{reason}"
    );
    answering.join().expect("no panic")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn second_server_is_asked_when_the_first_is_away() -> Result<()> {
    let tables = Tables::shared().await?;
    let gone = {
        let gone = TcpListener::bind("127.0.0.1:0")?;
        gone.local_addr()?.to_string()
    };
    let mut settings = tables.settings.clone();
    settings.servers.insert(0, gone.to_string());
    HBase::start(&settings)?.log_row().await?;
    Ok(())
}

/// A relay whose connections can be cut, as the server does with idle ones.
#[tokio::test(flavor = "multi_thread")]
async fn connection_that_was_closed_is_replaced_in_silence() -> Result<()> {
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;
    let tables = Tables::shared().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let server = stack::thrift();
    let (cut, cuts) = watch::channel(0);
    let relay = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (mut cuts, server) = (cuts.clone(), server.clone());
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.expect("Thrift");
                tokio::select! {
                    // Whichever ends first ends both: that is the point.
                    _ = cuts.changed() => {}
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                }
            });
        }
    });
    let hbase = HBase::start(&HBaseSettings {
        servers: vec![address],
        ..tables.settings.clone()
    })?;
    hbase.create_log_row(&log_row(16)).await?;
    for round in 1..=10 {
        cut.send(round)?;
        hbase.log_row().await?.context("the row")?;
        hbase.history(16, 1).append(Vec::new()).await?;
    }
    relay.abort();
    Ok(())
}

/// A relay that carries nothing while it is frozen, as a stopped process does.
async fn frozen_relay(
    listener: tokio::net::TcpListener,
    server: String,
    flows: tokio::sync::watch::Receiver<bool>,
) -> Result<()> {
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::sync::watch;
    async fn pump(
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        mut flows: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let read = from.read(&mut bytes).await?;
            flows.wait_for(|flows| *flows).await?;
            to.write_all(&bytes[..read]).await?;
            if read == 0 {
                return Ok(to.shutdown().await?);
            }
        }
    }
    loop {
        let near = listener.accept().await?.0.into_split();
        let far = tokio::net::TcpStream::connect(&server).await?.into_split();
        tokio::spawn(pump(near.0, far.1, flows.clone()));
        tokio::spawn(pump(far.0, near.1, flows.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_server_keeps_one_call_waiting_and_is_found_again_by_itself() -> Result<()> {
    const CALLS: u32 = 100;
    const TIMEOUT: Duration = Duration::from_secs(1);
    let tables = Tables::shared().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let (flow, flows) = tokio::sync::watch::channel(true);
    let relay = frozen_relay(listener, stack::thrift(), flows);
    let relay = tokio::spawn(relay);
    let hbase = HBase::start(&HBaseSettings {
        servers: vec![address.clone()],
        timeout: TIMEOUT,
        ..tables.settings.clone()
    })?;
    hbase.create_log_row(&log_row(16)).await?;
    for _ in 0..2 {
        flow.send_replace(false);
        let began = Instant::now();
        let (away, late) = reason(hbase.log_row().await.expect_err("no answer"));
        assert!(away && late.contains(&address), "{late}");
        assert!(began.elapsed() >= TIMEOUT, "{:?}", began.elapsed());
        let began = Instant::now();
        for _ in 0..CALLS {
            let (away, silent) = reason(hbase.log_row().await.expect_err("no answer"));
            let told = format!("{late}; retrying until it does");
            assert!(away && silent.starts_with(&told), "{silent}");
        }
        assert!(
            began.elapsed() < CALLS * TIMEOUT / 10,
            "{:?}",
            began.elapsed()
        );
        flow.send_replace(true);
        contract::eventually("it is found again", async || {
            Ok(hbase.log_row().await.is_ok())
        })
        .await?;
        // Writes have connections of their own.
        hbase.create_log_row(&log_row(16)).await?;
    }
    relay.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_tables_and_families_are_told_with_what_helps() -> Result<()> {
    let _namespace = Tables::shared().await?;
    let prefix = format!("f{}_", contract::random());
    let hbase = HBase::start(&settings("lakechat_test", &prefix))?;
    let (away, missing) = reason(hbase.log_row().await.expect_err("no table"));
    assert!(
        !away && missing.contains("lakechat schema print"),
        "{missing}"
    );

    let meta = format!("lakechat_test:{prefix}meta");
    create(&meta, &["wrong"])?;
    let (away, family) = reason(hbase.log_row().await.expect_err("no family"));
    let differs = hbase.check_schema(None).await.expect_err("no family");
    drop_table(&meta)?;
    assert!(!away && family.contains("lakechat schema"), "{family}");
    let SchemaError::Differs(differences) = differs else {
        panic!("{differs}");
    };
    let told = |text: &str| differences.iter().any(|line| line.contains(text));
    assert!(
        told(&format!("table {meta} has no family d")),
        "{differences:?}"
    );
    assert!(told(&format!(
        "table lakechat_test:{prefix}files is missing"
    )));
    Ok(())
}
