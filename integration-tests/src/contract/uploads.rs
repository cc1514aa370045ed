//! The rows of resumable uploads.

use anyhow::Result;
use bytes::Bytes;
use lakechat_core::domain::{FileId, FilePart, StoredName, Upload, UploadBytes, UploadState};
use tokio::task::JoinSet;

use super::{Backend, user};

/// Tests of every rule of the rows of uploads.
#[macro_export]
macro_rules! uploads_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            uploads:
                upload_is_read_as_stored_in_every_state
                upload_is_created_once
                upload_is_replaced_only_from_its_current_value
                one_of_many_concurrent_parts_is_appended
                removed_upload_is_gone_and_its_id_is_free
                uploads_are_listed_by_id_and_files_are_not_among_them
                uploads_survive_a_restart;
        }
    };
}

fn upload() -> Upload {
    Upload {
        id: FileId::random(),
        uploader: user(),
        name: "a \"b\"\r\n日".to_owned(),
        media_type: None,
        metadata: "filename YQ==".to_owned(),
        length: Some(1 << 40),
        is_partial: false,
        bytes: UploadBytes::Parts(Vec::new()),
        sha256_state: "00ff".to_owned(),
        created_at_ms: 1_795_000_000_123,
        expires_at_ms: 1_795_000_000_456,
        state: UploadState::Open,
    }
}

/// The upload with one more part.
fn longer(upload: &Upload) -> Upload {
    let part = FilePart {
        path: StoredName::part_of(upload.id, rand::random()).path(),
        size: 7,
    };
    Upload {
        bytes: UploadBytes::Parts([upload.parts(), &[part]].concat()),
        ..upload.clone()
    }
}

pub async fn upload_is_read_as_stored_in_every_state<B: Backend>(backend: B) -> Result<()> {
    let rows = backend.directory().upload_rows;
    assert_eq!(rows.find(FileId::random()).await?, None);
    let open = upload();
    let mut parts = longer(&open);
    for _ in 0..2_000 {
        parts = longer(&parts);
    }
    let complete = Upload {
        bytes: UploadBytes::Inline((0..=255).cycle().take(64 << 10).collect::<Vec<u8>>().into()),
        media_type: Some("text/plain".to_owned()),
        state: UploadState::Complete { at_ms: 5 },
        ..parts.clone()
    };
    let removed = Upload {
        bytes: UploadBytes::Inline(Bytes::new()),
        is_partial: true,
        length: None,
        state: UploadState::Removed { at_ms: 6 },
        ..open.clone()
    };
    assert!(rows.create(&open).await?);
    let states = [open, parts, complete, removed];
    for step in states.windows(2) {
        assert_eq!(rows.find(step[0].id).await?.as_ref(), Some(&step[0]));
        assert!(rows.replace(&step[0], &step[1]).await?);
        assert_eq!(rows.find(step[0].id).await?.as_ref(), Some(&step[1]));
    }
    Ok(())
}

pub async fn upload_is_created_once<B: Backend>(backend: B) -> Result<()> {
    let rows = backend.directory().upload_rows;
    let first = upload();
    assert!(rows.create(&first).await?);
    assert!(rows.create(&first).await?, "an earlier attempt created it");
    assert!(!rows.create(&longer(&first)).await?);
    assert_eq!(rows.find(first.id).await?, Some(first));
    Ok(())
}

pub async fn upload_is_replaced_only_from_its_current_value<B: Backend>(backend: B) -> Result<()> {
    let rows = backend.directory().upload_rows;
    let first = upload();
    let second = longer(&first);
    assert!(!rows.replace(&first, &second).await?, "there is no row");
    assert_eq!(rows.find(first.id).await?, None);
    rows.create(&first).await?;
    assert!(!rows.replace(&second, &longer(&second)).await?);
    assert!(rows.replace(&first, &second).await?);
    assert!(
        rows.replace(&first, &second).await?,
        "an earlier attempt did"
    );
    assert!(!rows.replace(&first, &longer(&first)).await?);
    assert_eq!(rows.find(first.id).await?, Some(second));
    Ok(())
}

pub async fn one_of_many_concurrent_parts_is_appended<B: Backend>(backend: B) -> Result<()> {
    let rows = backend.directory().upload_rows;
    let first = upload();
    rows.create(&first).await?;
    let append = |_| {
        let (rows, first) = (rows.clone(), first.clone());
        async move {
            let new = longer(&first);
            let replaced = rows.replace(&first, &new).await?;
            anyhow::Ok(replaced.then_some(new))
        }
    };
    let mut attempts: JoinSet<_> = (0..50).map(append).collect();
    let mut won = Vec::new();
    while let Some(attempt) = attempts.join_next().await {
        won.extend(attempt??);
    }
    assert_eq!(won.len(), 1);
    assert_eq!(rows.find(first.id).await?, won.pop());
    Ok(())
}

pub async fn removed_upload_is_gone_and_its_id_is_free<B: Backend>(backend: B) -> Result<()> {
    let rows = backend.directory().upload_rows;
    let first = upload();
    rows.create(&first).await?;
    rows.remove(first.id).await?;
    rows.remove(first.id).await?;
    assert_eq!(rows.find(first.id).await?, None);
    assert!(!rows.replace(&first, &longer(&first)).await?);
    assert!(rows.create(&longer(&first)).await?);
    Ok(())
}

pub async fn uploads_are_listed_by_id_and_files_are_not_among_them<B: Backend>(
    backend: B,
) -> Result<()> {
    let (rows, files) = (
        backend.directory().upload_rows,
        backend.directory().file_rows,
    );
    let mut uploads: Vec<_> = (0..7).map(|_| upload()).collect();
    for upload in &uploads {
        rows.create(upload).await?;
    }
    uploads.sort_by_key(|upload| upload.id);
    for limit in [1, 3, 100] {
        let mut listed: Vec<Upload> = Vec::new();
        loop {
            let page = rows.list(listed.last().map(|last| last.id), limit).await?;
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert!(listed.is_sorted_by(|a, b| a.id < b.id));
        listed.retain(|upload| uploads.contains(upload));
        assert_eq!(listed, uploads);
    }
    for upload in &uploads {
        assert_eq!(files.find(upload.id).await?, None);
    }
    let listed = files.list(None, usize::MAX).await?;
    let is_upload = |id| uploads.iter().any(|upload| upload.id == id);
    assert!(!listed.iter().any(|file| is_upload(file.id)));
    Ok(())
}

pub async fn uploads_survive_a_restart<B: Backend>(backend: B) -> Result<()> {
    let upload = upload();
    backend.directory().upload_rows.create(&upload).await?;
    let backend = backend.reopen().await?;
    let found = backend.directory().upload_rows.find(upload.id).await?;
    assert_eq!(found, Some(upload));
    Ok(())
}
