use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use outbox_core::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::health::{Health, live, ready, started};
use crate::config::Ready;
use crate::report::Report;
use crate::telemetry::exporter::set_gauges;

/// What the pages are made of.
#[derive(Clone)]
pub(crate) struct ServerState {
    pub(crate) reports: watch::Receiver<Report>,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) ready: Ready,
}

/// The HTTP server; ends when it is dropped.
pub(crate) struct Server {
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens, then answers in the background.
    pub(crate) async fn start(listen: SocketAddr, state: ServerState) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "listening for HTTP");
        let router = Router::new()
            .route(
                "/live",
                get(|State(state): State<ServerState>| async move {
                    answer(&live(&state.reports.borrow()))
                }),
            )
            .route(
                "/started",
                get(|State(state): State<ServerState>| async move {
                    answer(&started(&state.reports.borrow()))
                }),
            )
            .route(
                "/ready",
                get(|State(state): State<ServerState>| async move {
                    answer(&ready(&state.reports.borrow(), state.ready))
                }),
            )
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .with_state(state);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "HTTP has ended");
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(health: &Health) -> Response {
    let code = if health.good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = if health.good { "ok" } else { "unavailable" };
    (
        code,
        Json(serde_json::json!({ "status": word, "reason": health.reason })),
    )
        .into_response()
}

async fn status(State(state): State<ServerState>) -> Response {
    let json = state
        .reports
        .borrow()
        .to_json(Timestamp::from(SystemTime::now()));
    Json(json).into_response()
}

async fn metrics(State(state): State<ServerState>) -> Response {
    set_gauges(&state.reports.borrow());
    state.metrics.run_upkeep();
    let content_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (content_type, state.metrics.render()).into_response()
}
