//! The requests, and what each refusal is in HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::report_orders::{Ordered, ReportOrderError, ReportOrders, Wish};

/// The service.
pub(crate) fn router(orders: ReportOrders) -> Router {
    Router::new()
        .route("/reports", post(order))
        .route("/health", get(health))
        .with_state(orders)
}

/// 202: ordered for good, but not made yet.
async fn order(
    State(orders): State<ReportOrders>,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Json<Ordered>), ReportOrderError> {
    Ok((StatusCode::ACCEPTED, Json(orders.order(&wish).await?)))
}

async fn health(State(orders): State<ReportOrders>) -> Result<(), ReportOrderError> {
    orders.health().await
}

impl IntoResponse for ReportOrderError {
    fn into_response(self) -> Response {
        tracing::error!(error = &self as &dyn std::error::Error, "a request failed");
        let body = json!({ "error": self.to_string() });
        (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
    }
}
