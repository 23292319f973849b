use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use outbox_core::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::connections::{BoundedListener, ConnectionLimits, LIMITS};
use super::health::{Health, live, ready, started};
use crate::config::Ready;
use crate::report::Report;
use crate::telemetry::MetricsHandle;
use crate::telemetry::exporter::set_gauges;

/// What the pages are made of.
#[derive(Clone)]
pub(crate) struct ServerState {
    pub(crate) reports: watch::Receiver<Report>,
    pub(crate) metrics: MetricsHandle,
    pub(crate) ready: Ready,
}

/// The HTTP server; ends when it is dropped.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// How long answers that are under way may still take when the process ends.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

impl Server {
    /// Listens, then answers in the background.
    pub(crate) async fn start(listen: SocketAddr, state: ServerState) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "listening for HTTP");
        Ok(Self::serve(listener, state, LIMITS))
    }

    pub(super) fn serve(
        listener: TcpListener,
        state: ServerState,
        limits: ConnectionLimits,
    ) -> Self {
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
            // A connection lives too shortly to be kept for a second request.
            .layer(map_response(close_afterwards))
            .with_state(state);
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(BoundedListener::new(listener, limits), router)
            .with_graceful_shutdown(async {
                // A sender that is gone means the same.
                let _ = stopped.await;
            });
        let task = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "HTTP has ended");
            }
        });
        Self {
            stop: Some(stop),
            task,
        }
    }

    /// Lets answers that are under way come to their end, within a limit.
    pub(crate) async fn shut_down(mut self) {
        drop(self.stop.take());
        if tokio::time::timeout(FAREWELL_MAX, &mut self.task)
            .await
            .is_err()
        {
            tracing::debug!("connections for HTTP were still open at the end");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn close_afterwards(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
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
    let content_type = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (content_type, state.metrics.render()).into_response()
}
