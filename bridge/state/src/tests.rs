//! Documents are saved completely, and a file that cannot be read is never lost.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::*;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Lamps {
    lit: Vec<String>,
}

impl Document for Lamps {
    const NAME: &'static str = "lamps";
    const VERSION: u32 = 2;
}

struct Fixture {
    place: TempDir,
    tasks: TaskTracker,
    stop: CancellationToken,
    state: Arc<Mutex<Lamps>>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            place: TempDir::new().unwrap(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            state: Arc::default(),
        }
    }

    fn dir(&self) -> StateDir {
        StateDir::new(self.place.path().join("zocp"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join("zocp").join(name)
    }

    fn put(&self, text: &str) {
        fs::create_dir_all(self.place.path().join("zocp")).unwrap();
        fs::write(self.file("lamps.json"), text).unwrap();
    }

    fn persist(&self, dir: &StateDir) -> Persister {
        let (kept, store) = dir.open::<Lamps>();
        *self.state.lock().unwrap() = kept;
        let state = self.state.clone();
        store.persist(&self.tasks, self.stop.clone(), move || {
            state.lock().unwrap().clone()
        })
    }

    fn light(&self, lamp: &str) {
        self.state.lock().unwrap().lit.push(lamp.to_owned());
    }

    /// The state that the next start would read.
    fn found(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file("lamps.json")).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value::<Lamps>(whole["state"].clone())
            .unwrap()
            .lit
    }
}

#[tokio::test]
async fn what_is_saved_is_there_at_the_next_start() {
    let fixture = Fixture::new();
    let persister = fixture.persist(&fixture.dir());
    fixture.light("a");
    persister.save().await.unwrap();
    assert_eq!(fixture.found(), ["a"]);
    let mode = |name| {
        fs::metadata(fixture.file(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("lamps.json"), mode("")), (0o600, 0o700));
    fixture.stop.cancel();
    fixture.tasks.close();
    fixture.tasks.wait().await;

    let (kept, _store) = fixture.dir().open::<Lamps>();
    assert_eq!(kept.lit, ["a"]);
    assert!(!fixture.file(".lamps.json.new").exists());
}

// The paused clock does not count the time that the machine needs.
#[tokio::test(start_paused = true)]
async fn changes_are_written_together_and_the_last_ones_at_the_end() {
    let fixture = Fixture::new();
    let persister = fixture.persist(&fixture.dir());
    let began = tokio::time::Instant::now();
    for lamp in ["a", "b"] {
        fixture.light(lamp);
        persister.changed();
    }
    persister.tried(|tried| tried.changes == 2).await;
    assert_eq!(fixture.found(), ["a", "b"]);
    assert!(began.elapsed() >= SAVE_DELAY);

    fixture.light("c");
    persister.changed();
    fixture.stop.cancel();
    fixture.tasks.close();
    fixture.tasks.wait().await;
    assert_eq!(fixture.found(), ["a", "b", "c"]);
    assert!(began.elapsed() < SAVE_DELAY * 2, "the end does not wait");
}

#[tokio::test]
async fn a_malformed_file_is_put_aside() {
    let fixture = Fixture::new();
    for text in [
        "{",
        "[]",
        r#"{"format": "zocp-other", "version": 1, "state": {}}"#,
    ] {
        fixture.put(text);
        let (kept, _store) = fixture.dir().open::<Lamps>();
        assert_eq!(kept, Lamps::default());
        assert!(!fixture.file("lamps.json").exists());
    }
    let aside = fs::read_to_string(fixture.file("lamps.json.malformed-1")).unwrap();
    assert_eq!(aside, "{");
    assert!(fixture.file("lamps.json.malformed-3").exists());
}

#[tokio::test]
async fn a_tenth_malformed_file_stays_where_it_is() {
    let fixture = Fixture::new();
    for _ in 0..ASIDE_MAX {
        fixture.put("{");
        let _ = fixture.dir().open::<Lamps>();
    }
    fixture.put("{{");
    let persister = fixture.persist(&fixture.dir());
    persister.save().await.unwrap();
    let text = fs::read_to_string(fixture.file("lamps.json")).unwrap();
    assert_eq!(text, "{{");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_neither_read_nor_written() {
    let fixture = Fixture::new();
    let newer = r#"{"format": "zocp-lamps", "version": 3, "state": {"lit": {"a": 0.5}}}"#;
    fixture.put(newer);
    let persister = fixture.persist(&fixture.dir());
    fixture.light("a");
    persister.save().await.unwrap();
    let text = fs::read_to_string(fixture.file("lamps.json")).unwrap();
    assert_eq!(text, newer);
}

#[tokio::test]
async fn an_endless_file_is_put_aside_unread() {
    let fixture = Fixture::new();
    fixture.put("");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(fixture.file("lamps.json"));
    file.unwrap().set_len(LEN_MAX as u64 + 1).unwrap();
    let (kept, _store) = fixture.dir().open::<Lamps>();
    assert_eq!(kept, Lamps::default());
    assert!(fixture.file("lamps.json.malformed-1").exists());
}

#[tokio::test]
async fn a_second_bridge_keeps_nothing_in_the_place_of_another() {
    let fixture = Fixture::new();
    let first = fixture.dir();
    let persister = fixture.persist(&first);
    fixture.light("a");
    persister.save().await.unwrap();

    let (kept, store) = fixture.dir().open::<Lamps>();
    assert_eq!(kept, Lamps::default());
    let second = store.persist(&fixture.tasks, fixture.stop.clone(), || Lamps {
        lit: vec!["stranger".to_owned()],
    });
    second.save().await.unwrap();
    assert_eq!(fixture.found(), ["a"]);
}

#[tokio::test]
async fn what_cannot_be_written_is_tried_again() {
    let fixture = Fixture::new();
    let obstacle = fixture.file(".lamps.json.new");
    fs::create_dir_all(&obstacle).unwrap();
    let persister = fixture.persist(&fixture.dir());
    fixture.light("a");
    let error = persister.save().await.unwrap_err();
    assert!(matches!(*error, StateError::System { .. }), "{error}");
    assert!(!fixture.file("lamps.json").exists());

    fs::remove_dir(&obstacle).unwrap();
    persister.tried(|tried| tried.error.is_none()).await;
    assert_eq!(fixture.found(), ["a"]);
}

#[tokio::test]
async fn more_than_a_file_may_have_is_refused_and_the_old_one_stays() {
    let fixture = Fixture::new();
    let persister = fixture.persist(&fixture.dir());
    fixture.light("a");
    persister.save().await.unwrap();
    fixture.light(&"x".repeat(LEN_MAX));
    let error = persister.save().await.unwrap_err();
    assert!(matches!(*error, StateError::TooLong { .. }), "{error}");
    assert_eq!(fixture.found(), ["a"]);
}

#[tokio::test]
async fn without_a_place_nothing_is_kept_and_nobody_waits() {
    let fixture = Fixture::new();
    let persister = fixture.persist(&StateDir::none());
    persister.changed();
    persister.save().await.unwrap();
}
