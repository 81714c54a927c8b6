//! The page itself: files that are part of the program.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

/// The file at a path.
pub(crate) fn asset(path: &str) -> Response {
    let path = if path == "/" { "/index.html" } else { path };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, asset.content).into_response()
}

macro_rules! assets {
    ($($path:literal $kind:ident),* $(,)?) => {
        [$(Asset {
            path: concat!("/", $path),
            kind: $kind,
            content: include_str!(concat!("../page/", $path)),
        }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

static ASSETS: [Asset; 14] = assets![
    "index.html" HTML,
    "style.css" CSS,
    "icon.svg" ICON,
    "app.js" SCRIPT,
    "bar.js" SCRIPT,
    "control.js" SCRIPT,
    "element.js" SCRIPT,
    "link.js" SCRIPT,
    "list.js" SCRIPT,
    "patch.js" SCRIPT,
    "plot.js" SCRIPT,
    "scenes.js" SCRIPT,
    "services.js" SCRIPT,
    "wires.js" SCRIPT,
];
