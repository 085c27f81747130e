#include <set>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/strings.h"
#include "console/route.h"

namespace leadsman::console {
namespace {

using Json = nlohmann::ordered_json;

/// The shapes of bodies. Kept as text: it reads like the document it becomes; a test checks every
/// reference and that what the API answers has the keys that stand here.
constexpr const char* kSchemas = R"json({
"Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "required": ["code", "message"],
  "properties": {"code": {"type": "string", "description": "gRPC status name, as NOT_FOUND"}, "message": {"type": "string"},
    "details": {"type": "array", "items": {"type": "string"}, "description": "one entry a problem: labels[3].label: is missing"}}}}},
"Readiness": {"type": "object", "required": ["ready", "reasons", "models", "notes"], "properties": {"notes": {"type": "array", "items": {"type": "string"}, "description": "what an operator should know, and no reason to send no requests"}, "ready": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}},
  "models": {"type": "array", "items": {"type": "object", "properties": {"model": {"type": "string"}, "state": {"type": "string", "enum": ["new", "fetching", "verifying", "loading", "warming", "draining", "unloading", "failed", "memory", "empty"]}, "detail": {"type": "string"}}}}}},
"ConfigReload": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"succeeded": {"type": "integer"}, "failed": {"type": "integer"}, "last_success": {"type": "string", "format": "date-time"},
  "last_trigger": {"type": "string"}, "error": {"type": "string", "description": "why the last one failed; empty: it did not"}, "needs_restart": {"type": "array", "items": {"type": "string"}}}}]},
"Reload": {"type": "object", "required": ["reloaded", "config_reload"], "properties": {"reloaded": {"type": "boolean"}, "config_reload": {"$ref": "#/components/schemas/ConfigReload"}}},
"MonitorCounters": {"type": "object", "properties": {"events": {"type": "integer"}, "events_dropped": {"type": "integer"}, "labels_joined": {"type": "integer"},
  "labels_unknown": {"type": "integer"}, "labels_duplicate": {"type": "integer"}, "labels_late": {"type": "integer"}, "labels_mismatched": {"type": "integer"}, "labels_rejected": {"type": "integer"}, "labels_pending": {"type": "integer"}, "database_errors": {"type": "integer"}}},
"ModelSummary": {"type": "object", "required": ["name", "state"], "properties": {"name": {"type": "string"}, "state": {"enum": ["observed", "ready", "new", "fetching", "verifying", "loading", "warming", "draining", "unloading", "failed", "memory", "empty"]},
  "versions_ready": {"type": "array", "items": {"type": "integer"}}, "note": {"type": "string"}}},
"ServerStatus": {"type": "object", "required": ["version", "started", "uptime_seconds", "ready", "notes", "models", "rollouts", "rollout_journal", "config_reload", "alarms", "metrics", "label_store", "edges", "gateway", "hot_restart", "monitor"], "properties": {"hot_restart": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["generation", "failed", "socket"], "properties": {"generation": {"type": "integer", "description": "how many processes have handed over, up to this one"}, "failed": {"type": "integer", "description": "attempts of other processes to take over that came to nothing"}, "socket": {"type": "string"}}}], "description": "null when no other process can take over"}, "notes": {"type": "array", "items": {"type": "string"}, "description": "what an operator should know: logs that are not read, references and schemas that cannot be"}, "alarms": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["firing", "silenced", "pending"], "properties": {"firing": {"type": "integer"}, "silenced": {"type": "integer"}, "pending": {"type": "integer"}}}], "description": "null when nothing is watched"}, "config_reload": {"$ref": "#/components/schemas/ConfigReload"}, "version": {"type": "string"}, "started": {"type": "string", "format": "date-time"},
  "uptime_seconds": {"type": "number"}, "ready": {"type": "boolean"}, "models": {"type": "array", "items": {"$ref": "#/components/schemas/ModelSummary"}},
  "rollouts": {"type": "array", "items": {"$ref": "#/components/schemas/Rollout"}, "description": "those that have not ended"},
  "rollout_journal": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["ok", "reason"], "properties": {"ok": {"type": "boolean"}, "reason": {"type": "string"}}}], "description": "null without a rollout plan"},
  "metrics": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["series", "max_series", "left_out"], "properties": {"series": {"type": "integer", "description": "when metrics were read the last time"}, "max_series": {"type": "integer", "description": "0: no limit"},
    "left_out": {"type": "array", "items": {"type": "object", "required": ["family", "series", "buckets_only"], "properties": {"family": {"type": "string"}, "series": {"type": "integer"}, "buckets_only": {"type": "boolean", "description": "its count and sum are there"}}}}}}]},
  "label_store": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["redis", "ready", "since", "reason", "predictions_queued", "predictions_lost"], "properties": {"redis": {"type": "string", "description": "host:port"}, "ready": {"type": "boolean", "description": "it takes predictions and labels"},
    "since": {"type": "string", "format": "date-time"}, "reason": {"type": "string", "description": "it is not ready"}, "predictions_queued": {"type": "integer"}, "predictions_lost": {"type": "integer"}}}], "description": "null when predictions wait for their labels in this process' database"},
  "gateway": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Gateway"}], "description": "null where nothing is proxied"},
  "edges": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/EdgeList"}], "description": "null where profiles of edges are not taken; of many edges the first 20"},
  "monitor": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/MonitorCounters"}]}}},
"Edge": {"type": "object", "required": ["edge", "state", "first_seen", "last_seen", "processes", "messages", "duplicates", "lost", "requests"], "properties": {"edge": {"type": "string"}, "state": {"enum": ["live", "quiet", "stopped"], "description": "quiet: overdue; stopped: it said so"},
  "first_seen": {"type": ["string", "null"], "format": "date-time"}, "last_seen": {"type": ["string", "null"], "format": "date-time"}, "processes": {"type": "integer", "description": "how many have sent under this name"}, "messages": {"type": "integer", "description": "taken"},
  "duplicates": {"type": "integer", "description": "had been taken before, and were not counted again"}, "lost": {"type": "integer", "description": "their numbers were passed over"}, "requests": {"type": "integer"}}},
"EdgeList": {"type": "object", "required": ["quiet", "live", "stopped", "messages", "duplicates", "lost", "edges"], "properties": {"quiet": {"type": "integer"}, "live": {"type": "integer"}, "stopped": {"type": "integer"}, "messages": {"type": "integer"}, "duplicates": {"type": "integer"}, "lost": {"type": "integer"},
  "edges": {"type": "array", "items": {"$ref": "#/components/schemas/Edge"}}}},
"ProfileReceipt": {"type": "object", "required": ["duplicate", "lost", "profiles", "requests"], "properties": {"duplicate": {"type": "boolean", "description": "it had been taken before, and was not counted again"}, "lost": {"type": "integer", "description": "messages before it that never came"}, "profiles": {"type": "integer"}, "requests": {"type": "integer"}}},
"Traffic": {"type": "object", "required": ["stable", "candidate", "candidate_share"], "properties": {"stable": {"type": "integer"}, "candidate": {"type": ["integer", "null"]}, "candidate_share": {"type": "number", "minimum": 0, "maximum": 1}}},
"Totals": {"type": "object", "required": ["requests", "errors", "latency_p50_seconds", "latency_p99_seconds", "labelled", "wrong", "accuracy"], "properties": {"requests": {"type": "integer"}, "errors": {"type": "integer"}, "latency_p50_seconds": {"type": "number"},
  "latency_p99_seconds": {"type": "number"}, "labelled": {"type": "integer"}, "wrong": {"type": "integer"}, "accuracy": {"type": ["number", "null"]}}},
"Version": {"type": "object", "required": ["version", "state", "reason", "since", "format", "backend", "execution", "warm_cost_seconds", "memory_bytes", "unload_returned_bytes", "fetched_bytes", "fetch_total_bytes", "share", "totals"], "properties": {"version": {"type": "integer"},
  "state": {"enum": ["observed", "new", "fetching", "verifying", "loading", "warming", "ready", "draining", "unloading", "gone", "failed"], "description": "observed: served elsewhere, known from logs, events and edges"}, "reason": {"type": "string", "description": "why it failed, or what is waited for"},
  "since": {"type": ["string", "null"], "format": "date-time"}, "last_seen": {"type": "string", "format": "date-time", "description": "of observed ones: the last request or label, before the start too"}, "format": {"type": "string"}, "backend": {"type": "string"}, "execution": {"type": "string"}, "warm_cost_seconds": {"type": "number"},
  "memory_bytes": {"type": ["integer", "null"], "description": "growth of the process over the load; null: not measured, another load or unload went on at the same time"}, "unload_returned_bytes": {"type": ["integer", "null"], "description": "by how much the process shrank when it was unloaded the last time; null: it has not been, or was not measured"}, "fetched_bytes": {"type": "integer", "description": "while fetching from a store"}, "fetch_total_bytes": {"type": "integer", "description": "0: not known"}, "share": {"type": "number"}, "totals": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Totals"}]}}},
"Model": {"type": "object", "required": ["name", "path", "note", "labels", "traffic", "versions"], "properties": {"name": {"type": "string"}, "path": {"type": "string"}, "note": {"type": "string"},
  "labels": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "with those that a rollout moves: stable, canary"}, "traffic": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Traffic"}]},
  "versions": {"type": "array", "items": {"$ref": "#/components/schemas/Version"}}}},
"ModelList": {"type": "object", "required": ["models"], "properties": {"models": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}},
"Window": {"type": "object", "required": ["start", "seconds", "requests", "errors", "latency_p50_seconds", "latency_p99_seconds", "labelled", "wrong", "predicted"], "properties": {"start": {"type": ["string", "null"], "format": "date-time"}, "seconds": {"type": "number"}, "requests": {"type": "integer"},
  "errors": {"type": "integer"}, "latency_p50_seconds": {"type": ["number", "null"]}, "latency_p99_seconds": {"type": ["number", "null"]}, "labelled": {"type": "integer"}, "wrong": {"type": "integer"},
  "predicted": {"type": "object", "additionalProperties": {"type": "integer"}}}},
"Windows": {"type": "object", "required": ["model", "from", "versions"], "properties": {"model": {"type": "string"}, "from": {"type": "string", "format": "date-time"},
  "versions": {"type": "object", "additionalProperties": {"type": "array", "items": {"$ref": "#/components/schemas/Window"}}}}},
"DriftDistance": {"type": "object", "required": ["value", "noise", "noise_p99"], "properties": {"value": {"type": "number"}, "noise": {"type": "number", "description": "to expect when nothing has changed"}, "noise_p99": {"type": "number", "description": "exceeded once in a hundred windows then"}}},
"DriftTrack": {"type": "object", "required": ["reference"], "properties": {"reference": {"type": "object", "description": "state: collecting (rows, of), ready (from, taken, rows, block_rows, blocks) or failed (reason)"}, "wide": {"type": "boolean"}, "unwatched": {"type": "boolean", "description": "there was no room for its detectors"}, "never_seen": {"type": "array", "description": "values of the reference that no request has had", "items": {"type": "string"}}, "not_compared": {"type": "array", "description": "values of requests that the reference does not have", "items": {"type": "string"}}, "wider_requests": {"type": "integer", "description": "with more values than are compared"}, "blocks_seen": {"type": "integer"}, "window_rows": {"type": "integer"},
  "numbers": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "reference": {"type": "object"}, "now": {"type": "object"}, "shift": {"type": "number", "description": "in standard deviations of the reference"}, "distances": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/DriftDistance"}}}}},
  "classes": {"type": "object"}, "streams": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "reference": {"type": "number"}, "now": {"type": ["number", "null"]}, "tolerance": {"type": "number"}, "rows": {"type": "integer", "description": "that now is of"}, "rows_without_it": {"type": "integer", "description": "that came since and had no value of it; after 32 blocks of them now is null"}, "evidence": {"type": "number", "description": "share of what raises an alarm by itself"}, "evidence_log": {"type": "number", "description": "the same by logarithms: 1 raises one"}, "alarm": {"type": "boolean"}, "guaranteed": {"type": "boolean"}, "not_guaranteed_because": {"type": ["string", "null"]}}}}}},
"Drift": {"type": "object", "required": ["model", "versions"], "properties": {"model": {"type": "string"}, "versions": {"type": "array", "items": {"type": "object", "required": ["version", "answers", "labels"], "properties": {"version": {"type": "integer"}, "inputs": {"$ref": "#/components/schemas/DriftTrack"}, "answers": {"$ref": "#/components/schemas/DriftTrack"}, "labels": {"$ref": "#/components/schemas/DriftTrack"}}}}}},
"SchemaViolation": {"type": "object", "required": ["feature", "rule", "expected", "count", "first", "last"], "properties": {"feature": {"type": "string"}, "rule": {"enum": ["missing", "type", "range", "category", "non_finite", "shape", "absent", "unexpected"]}, "expected": {"type": "string"}, "count": {"type": "integer", "description": "rows"}, "first": {"type": ["string", "null"], "format": "date-time", "description": "null of a share"}, "last": {"type": "string", "format": "date-time"}}},
"Schema": {"type": "object", "required": ["model", "versions"], "properties": {"model": {"type": "string"}, "versions": {"type": "array", "items": {"type": "object", "required": ["version", "state", "rows"], "properties": {"version": {"type": "integer"}, "state": {"enum": ["collecting", "frozen", "unreadable"], "description": "unreadable: its file cannot be read, and nothing is held against it"}, "reason": {"type": "string", "description": "why it is unreadable"}, "rows": {"type": "integer", "description": "collected, or held against it since the start"}, "of": {"type": ["integer", "null"], "description": "rows that it will be made of; null: not known before the first"},
  "from": {"enum": ["first_requests", "file"]}, "violating_rows": {"type": "integer"}, "accepted_share": {"type": "number"}, "violations": {"type": "array", "items": {"$ref": "#/components/schemas/SchemaViolation"}}, "schema": {"type": "object", "description": "as in its file, see docs/reference/schema.md"}}}}}},
"QualityCoverage": {"type": "object", "required": ["predictions", "labelled", "share"], "properties": {"up_to": {"type": "string", "description": "how long ago, at most"}, "predictions": {"type": "number"}, "labelled": {"type": "number"}, "share": {"type": ["number", "null"]}, "by_age": {"type": "array", "items": {"$ref": "#/components/schemas/QualityCoverage"}}}},
"QualityClass": {"type": "object", "required": ["class", "labelled", "predicted", "right", "precision", "recall", "f1"], "properties": {"class": {"type": "string"}, "labelled": {"type": "number"}, "predicted": {"type": "number"}, "right": {"type": "number"}, "precision": {"type": ["number", "null"]}, "recall": {"type": ["number", "null"]}, "f1": {"type": ["number", "null"]},
  "labelled_requests": {"type": "integer"}, "predicted_requests": {"type": "integer"}, "right_requests": {"type": "integer"}, "precision_low": {"type": "number"}, "precision_high": {"type": "number"}, "recall_low": {"type": "number"}, "recall_high": {"type": "number"}, "f1_low": {"type": "number"}, "f1_high": {"type": "number"}}},
"QualityScores": {"type": "object", "required": ["of", "rows"], "properties": {"of": {"enum": ["second_class", "best_class", "all_classes"], "description": "all_classes: each against the rest; auc is their plain mean"}, "weighted_auc": {"type": "number"}, "weighted_auc_error": {"type": "number"}, "left_out": {"type": "number", "description": "rows whose label the model has not answered yet"}, "classes": {"type": "array", "items": {"type": "object", "properties": {"class": {"type": "string"}, "rows": {"type": "number"}, "auc": {"type": "number"}, "auc_error": {"type": "number"}}}}, "class": {"type": ["string", "null"]}, "rows": {"type": "number"}, "auc": {"type": "number"}, "auc_error": {"type": "number", "description": "how far the area of the scores themselves may be away"}, "log_loss": {"type": "number"}, "other_labels": {"type": "number"},
  "calibration_error": {"type": "number"}, "calibration": {"type": "array", "items": {"type": "object", "properties": {"from": {"type": "number"}, "to": {"type": "number"}, "rows": {"type": "number"}, "mean_score": {"type": "number"}, "share": {"type": "number"}}}}}},
"QualitySegment": {"type": "object", "required": ["by", "segment", "requests", "labelled", "wrong", "accuracy"], "properties": {"by": {"type": "string"}, "segment": {"type": "string"}, "requests": {"type": "object", "additionalProperties": {"type": "integer"}}, "labelled": {"type": "number"}, "wrong": {"type": "number"}, "accuracy": {"type": ["number", "null"]}, "labelled_requests": {"type": "integer"}, "wrong_requests": {"type": "integer"}, "accuracy_low": {"type": "number"}, "accuracy_high": {"type": "number"}}},
"Quality": {"type": "object", "required": ["model", "versions", "labels_mismatched"], "properties": {"model": {"type": "string"}, "labels_mismatched": {"type": "integer", "description": "labels since the start that were not compared: text for a model of numbers, or the other way round"}, "versions": {"type": "array", "items": {"type": "object", "required": ["version", "labelled", "wrong", "coverage"], "properties": {"version": {"type": "integer"}, "labelled": {"type": "number"}, "wrong": {"type": "number"}, "accuracy": {"type": "number"}, "accuracy_low": {"type": "number"}, "accuracy_high": {"type": "number"},
  "labelled_requests": {"type": "integer"}, "wrong_requests": {"type": "integer"}, "drawn_labelled_requests": {"type": "integer"}, "drawn_wrong_requests": {"type": "integer"},
  "classes": {"type": "object", "properties": {"rows": {"type": "number"}, "macro": {"type": "object", "additionalProperties": {"type": "number"}}, "of": {"type": "array", "items": {"$ref": "#/components/schemas/QualityClass"}}, "confusion": {"type": "array", "items": {"type": "object", "properties": {"label": {"type": "string"}, "predicted": {"type": "string"}, "rows": {"type": "number"}}}}}},
  "scores": {"type": "array", "items": {"$ref": "#/components/schemas/QualityScores"}}, "numbers": {"type": "object", "additionalProperties": {"type": "number"}}, "coverage": {"$ref": "#/components/schemas/QualityCoverage"}, "segments": {"type": "array", "items": {"$ref": "#/components/schemas/QualitySegment"}}}}}}},
"SchemaRelearnt": {"type": "object", "required": ["model", "versions"], "properties": {"model": {"type": "string"}, "versions": {"type": "array", "items": {"type": "integer"}}}},
"DriftReset": {"type": "object", "required": ["model", "versions"], "properties": {"model": {"type": "string"}, "versions": {"type": "array", "items": {"type": "integer"}}}},
"Profile": {"type": "object", "description": "statistics of one version's inputs, per feature"},
"SetLabel": {"type": "object", "required": ["version"], "additionalProperties": false, "properties": {"version": {"type": "integer", "minimum": 1}}},
"ModelLabel": {"type": "object", "required": ["model", "label", "version"], "properties": {"model": {"type": "string"}, "label": {"type": "string"}, "version": {"type": "integer"}}},
"Refresh": {"type": "object", "required": ["model", "listing"], "properties": {"model": {"type": "string"}, "listing": {"const": "started"}}},
"Gate": {"type": "object", "required": ["gate", "outside", "harm_log_e", "harm_log_bound", "safe_log_e", "safe_log_bound", "weight", "alpha", "stable", "candidate"], "description": "natural logarithms; rolled back when harm_log_e reaches harm_log_bound",
  "properties": {"gate": {"type": "string", "description": "errors, latency, quality, or the name of one that asks outside"},
  "outside": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["kind", "passes", "failures", "failures_allowed", "said", "answers"], "properties": {"kind": {"enum": ["promql", "webhook"]}, "passes": {"type": "boolean", "description": "its last answer, in the present step"}, "failures": {"type": "integer", "description": "in a row"}, "failures_allowed": {"type": "integer", "description": "so many take the candidate back"},
    "said": {"type": ["string", "null"], "description": "the last answer"}, "answers": {"type": "object", "properties": {"passed": {"type": "integer"}, "failed": {"type": "integer"}, "open": {"type": "integer", "description": "neither"}}}}}], "description": "of a gate that asks outside, whose numbers below mean nothing; null of others"}, "harm_log_e": {"type": ["number", "null"]}, "harm_log_bound": {"type": ["number", "null"]}, "safe_log_e": {"type": ["number", "null"]}, "safe_log_bound": {"type": ["number", "null"]}, "weight": {"type": ["number", "null"], "description": "by which alpha is shared"}, "alpha": {"type": ["number", "null"], "description": "its part of the plan's"},
  "stable": {"type": "object", "properties": {"exposure": {"type": "integer"}, "events": {"type": "integer"}}},
  "candidate": {"type": "object", "properties": {"exposure": {"type": "integer"}, "events": {"type": "integer"}, "exposure_needed": {"type": "integer"}}}}},
"ArmRequests": {"type": "object", "properties": {"requests": {"type": "integer"}, "errors": {"type": "integer"}}},
"ArmWindow": {"type": "object", "properties": {"requests": {"type": "integer"}, "errors": {"type": "integer"}, "labelled": {"type": "integer"}, "wrong": {"type": "integer"}}},
"Readout": {"type": "object", "description": "of an A/B test: both versions, metric by metric", "required": ["confidence", "metrics", "segments"], "properties": {"confidence": {"type": "number", "description": "that all intervals together have the true differences in them, at every look"}, "segments": {"type": "array", "description": "the same by segment; these together have them, with the same confidence", "items": {"$ref": "#/components/schemas/Measured"}}, "metrics": {"type": "array", "items": {"$ref": "#/components/schemas/Measured"}}}},
"Measured": {"type": "object", "required": ["metric", "event", "stable", "candidate", "difference", "verdict"], "properties": {"segment": {"type": "string", "description": "absent: of all requests"}, "metric": {"enum": ["errors", "latency", "quality"]}, "event": {"type": "string", "description": "what is bad, in words"},
  "stable": {"type": "object", "properties": {"exposure": {"type": "integer"}, "events": {"type": "integer"}}}, "candidate": {"type": "object", "properties": {"exposure": {"type": "integer"}, "events": {"type": "integer"}}}, "difference": {"type": "object", "description": "of the candidate's rate less the stable's", "properties": {"low": {"type": "number"}, "high": {"type": "number"}}}, "verdict": {"enum": ["open", "better", "worse"], "description": "the candidate is"}}},
"RolloutSegments": {"type": "object", "description": "harm by segment", "required": ["on_harm", "tests", "alpha", "evidence"], "properties": {"on_harm": {"enum": ["roll_back", "hold"]}, "tests": {"type": "integer", "description": "that there may be"}, "alpha": {"type": "number", "description": "of what is named harmed so much is so by chance, at most, on average"}, "evidence": {"type": "array", "items": {"type": "object", "required": ["segment", "gate", "stable", "candidate", "harm_log_e", "harmed"], "properties": {"segment": {"type": "string"}, "gate": {"enum": ["errors", "quality"]}, "stable": {"type": "object", "properties": {"exposure": {"type": "integer"}, "events": {"type": "integer"}}}, "candidate": {"type": "object", "properties": {"exposure": {"type": "integer"}, "events": {"type": "integer"}}}, "harm_log_e": {"type": "number"}, "harmed": {"type": "boolean"}}}}}},
"Copies": {"type": "object", "description": "requests that the stable version has answered and the candidate once more", "required": ["answered", "candidate_failed", "stable_failed", "compared", "differing", "class_flips", "not_compared", "labelled_flips"], "properties": {"answered": {"type": "integer", "description": "or failed"}, "candidate_failed": {"type": "integer"}, "stable_failed": {"type": "integer"}, "compared": {"type": "integer"}, "differing": {"type": "integer", "description": "of these, with another class too"}, "class_flips": {"type": "integer"}, "not_compared": {"type": "integer", "description": "answered by both, too long or of no known form"},
  "labelled_flips": {"type": "object", "description": "rows with another class whose labels have come, by who alone was wrong", "properties": {"candidate_wrong": {"type": "integer"}, "stable_wrong": {"type": "integer"}, "both_wrong": {"type": "integer"}}}}},
"ExpectedEnd": {"type": "object", "required": ["kind", "at", "in_seconds", "text"], "description": "if all goes on as it does now; no promise", "properties": {"kind": {"enum": ["promotion", "end_of_test", "approval", "probation_over", "time_over", "held", "unknown"]}, "at": {"type": ["string", "null"]}, "in_seconds": {"type": ["number", "null"]}, "text": {"type": "string"}}},
"Rollout": {"type": "object", "required": ["id", "model", "stable", "candidate", "strategy", "phase", "step", "step_count", "share", "mirror", "copies", "readout", "started", "ended", "reason", "expected_end", "paused_by", "awaits_approval", "split_seed", "sample_ratio", "probation_left_seconds", "alpha", "beta", "plan_notes", "arms", "gates", "segments"], "properties": {"segments": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/RolloutSegments"}]}, "readout": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Readout"}]}, "strategy": {"enum": ["canary", "blue_green", "shadow", "rolling", "ab"]}, "mirror": {"type": "number", "description": "share of the requests that the candidate gets copies of"}, "copies": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Copies"}]}, "paused_by": {"type": ["string", "null"], "description": "who has paused it"}, "undo_by": {"type": ["string", "null"], "description": "it is the way back from another rollout: who has asked for it"}, "expected_end": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/ExpectedEnd"}]}, "split_seed": {"type": ["integer", "null"], "description": "by which a gateway's split that keeps users together chooses who comes first"}, "awaits_approval": {"type": "boolean", "description": "the present step lacks nothing but to be promoted by a person"}, "probation_left_seconds": {"type": ["number", "null"], "description": "in the phase probation: the old version is kept for so long"}, "sample_ratio": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["share", "candidate_requests", "stable_requests", "log_e", "log_bound", "mismatch"], "properties": {"share": {"type": "number", "description": "the candidate's, as it should be"}, "candidate_requests": {"type": "integer"}, "stable_requests": {"type": "integer"}, "log_e": {"type": "number"}, "log_bound": {"type": "number"}, "mismatch": {"type": "boolean", "description": "requests are split otherwise: the rollout is held"}}}]}, "id": {"type": "integer"}, "model": {"type": "string"}, "stable": {"type": "integer"}, "candidate": {"type": "integer"},
  "phase": {"enum": ["progressing", "held", "probation", "promoted", "rolled_back", "aborted"]}, "step": {"type": "integer"}, "step_count": {"type": "integer"}, "share": {"type": "number"}, "started": {"type": ["string", "null"], "format": "date-time"},
  "ended": {"type": ["string", "null"], "format": "date-time"}, "reason": {"type": "string"}, "alpha": {"type": "number"}, "beta": {"type": "number"}, "plan_notes": {"type": "array", "items": {"type": "string"}},
  "arms": {"type": "object", "properties": {"stable": {"$ref": "#/components/schemas/ArmRequests"}, "candidate": {"$ref": "#/components/schemas/ArmRequests"}}},
  "gates": {"type": "array", "items": {"$ref": "#/components/schemas/Gate"}}}},
"RolloutList": {"type": "object", "required": ["rollouts"], "properties": {"rollouts": {"type": "array", "items": {"$ref": "#/components/schemas/Rollout"}}}},
"Tick": {"type": "object", "required": ["time", "step", "share", "mirror", "copies", "decision", "stable", "candidate", "gates"], "properties": {"mirror": {"type": "number"}, "copies": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Copies"}]}, "time": {"type": ["string", "null"], "format": "date-time"}, "step": {"type": "integer"}, "share": {"type": "number"}, "decision": {"type": "string"},
  "stable": {"$ref": "#/components/schemas/ArmWindow"}, "candidate": {"$ref": "#/components/schemas/ArmWindow"}, "gates": {"type": "array", "items": {"$ref": "#/components/schemas/Gate"}}}},
"RolloutHistory": {"type": "object", "required": ["rollout", "total", "next_offset", "ticks"], "properties": {"rollout": {"type": "integer"}, "total": {"type": "integer"}, "next_offset": {"type": ["integer", "null"]},
  "ticks": {"type": "array", "items": {"$ref": "#/components/schemas/Tick"}}}},
"RolloutRecord": {"type": "object", "required": ["leadsman_rollout_record", "program", "engine", "id", "model", "stable", "candidate", "verdict", "first", "ticks", "last"], "properties": {
  "leadsman_rollout_record": {"type": "integer", "description": "of the form, now 1"}, "program": {"type": "string", "description": "version that wrote it"}, "engine": {"type": "integer", "description": "of the step machine"},
  "id": {"type": "integer"}, "model": {"type": "string"}, "stable": {"type": "integer"}, "candidate": {"type": "integer"},
  "verdict": {"type": "object", "required": ["phase", "reason", "started", "ended"], "properties": {"phase": {"type": "string"}, "reason": {"type": "string"}, "started": {"type": ["string", "null"]}, "ended": {"type": ["string", "null"]}, "gates": {"type": "array", "description": "how alpha was shared", "items": {"type": "object", "properties": {"gate": {"type": "string"}, "weight": {"type": "number"}, "alpha": {"type": "number"}}}},
    "readout": {"type": "array", "description": "of an A/B test: both versions, metric by metric, up to the last tick", "items": {"$ref": "#/components/schemas/RecordedMeasured"}}, "segment_readout": {"type": "array", "description": "the same by segment, of an A/B test that looks at them", "items": {"$ref": "#/components/schemas/RecordedMeasured"}}}},
  "first": {"type": "object", "description": "the state before the first tick, with the plan"}, "ticks": {"type": "array", "items": {"type": "object", "description": "input; decision; reason of one that decided; gates: their e-values, where these changed"}}, "last": {"type": "object", "description": "the state after the last tick"}}},
"RecordedMeasured": {"type": "object", "required": ["metric", "event", "stable", "candidate", "difference", "verdict"], "properties": {"metric": {"enum": ["errors", "latency", "quality"]}, "event": {"type": "string", "description": "what is bad, in words"}, "segment": {"type": "string", "description": "absent: of all requests"},
  "stable": {"type": "array", "description": "[exposure, events]", "items": {"type": "integer"}}, "candidate": {"type": "array", "description": "[exposure, events]", "items": {"type": "integer"}}, "difference": {"type": "array", "description": "[low, high] of the candidate's rate less the stable's", "items": {"type": "number"}}, "verdict": {"enum": ["open", "better", "worse"], "description": "the candidate is"}}},
"RolloutStanding": {"type": "object", "required": ["model", "stable", "plan", "traffic"], "properties": {"model": {"type": "string"}, "stable": {"type": "integer", "description": "0: none yet"}, "plan": {"type": ["object", "null"], "description": "as in the configuration, without what may be a secret in a URL; null: a gateway's service that has none, whose rollouts start with one"},
  "traffic": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["requests_per_second", "error_rate", "label_share", "wrong_rate", "requests", "latency", "arrivals"], "properties": {"requests_per_second": {"type": "number", "description": "of all versions, in the last hour"}, "error_rate": {"type": "number", "description": "of the stable version, of all that was counted of it, as the four that follow"}, "label_share": {"type": "number"}, "wrong_rate": {"type": "number"}, "requests": {"type": "integer"},
  "latency": {"type": "array", "items": {"type": "array"}, "description": "[bucket, count]"}, "arrivals": {"type": "array", "items": {"type": "array"}, "description": "[seconds, requests] of all versions in the last hour, in order"}}}]}}},
"StartRollout": {"type": "object", "required": ["model", "candidate"], "additionalProperties": false, "properties": {"model": {"type": "string"}, "candidate": {"type": "integer", "minimum": 1}, "plan": {"type": ["object", "null"], "description": "as a model's `rollout` in the configuration, instead of that; a gateway's service needs none there"}}},
"StartedRollout": {"type": "object", "description": "the rollout; only model and candidate when it begins with the next tick"},
"Who": {"type": "object", "additionalProperties": false, "properties": {"who": {"type": "string", "description": "kept in the journal"}}},
"Promotion": {"type": "object", "additionalProperties": false, "properties": {"who": {"type": "string", "description": "kept in the journal"}, "full": {"type": "boolean", "default": false, "description": "to the end; otherwise out of the present step"}, "step": {"type": "integer", "minimum": 0, "maximum": 1000, "description": "which is to be left, counted from 0; 409 when it is not the present one"}}},
"Label": {"type": "object", "required": ["request_id", "label"], "additionalProperties": false, "properties": {"request_id": {"type": "string", "minLength": 1, "maxLength": 256},
  "label": {"type": ["string", "number", "boolean"]}, "row": {"type": "integer", "minimum": 0, "maximum": 15, "default": 0, "description": "which row of the request"}}},
"Labels": {"oneOf": [{"type": "object", "required": ["labels"], "additionalProperties": false, "properties": {"labels": {"type": "array", "maxItems": 10000, "items": {"$ref": "#/components/schemas/Label"}}}},
  {"$ref": "#/components/schemas/Label"}]},
"LabelReceipt": {"type": "object", "required": ["accepted", "rejected", "errors"], "properties": {"accepted": {"type": "integer"}, "rejected": {"type": "integer"}, "errors": {"type": "array", "items": {"type": "string"}}}},
"Event": {"type": "object", "required": ["model"], "additionalProperties": false, "description": "one prediction; what is absent or null is not known", "properties": {"model": {"type": "string", "minLength": 1, "maxLength": 128},
  "version": {"type": ["integer", "string", "null"], "minimum": 0, "description": "0 or absent: not known"}, "request_id": {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "description": "labels join by it"},
  "timestamp": {"type": ["string", "number", "null"], "description": "RFC 3339, or seconds or milliseconds since 1970; absent: now"}, "status": {"type": ["integer", "null"], "minimum": 100, "maximum": 599, "description": "HTTP"},
  "outcome": {"enum": ["ok", "client_error", "server_error", "cancelled", "unknown", null], "description": "instead of status"}, "latency_ms": {"type": ["number", "null"], "minimum": 0}, "latency_seconds": {"type": ["number", "null"], "minimum": 0},
  "features": {"description": "of the first row: a list, or an object by name; what is no number is counted as missing", "oneOf": [{"type": "array", "maxItems": 4096, "items": {"type": ["number", "boolean", "string", "null"]}}, {"type": "object", "additionalProperties": {"type": ["number", "boolean", "string", "null"]}}, {"type": "null"}]},
  "segments": {"type": ["object", "null"], "maxProperties": 4, "description": "by which requests are told apart, by the names in monitoring.segments", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
  "prediction": {"description": "of the first row: a class or value, or the scores of all classes"}, "predictions": {"type": ["array", "null"], "description": "the same for each row; the first 16 are kept"},
  "score": {"type": ["number", "null"], "minimum": 0, "maximum": 1, "description": "of the predicted class of the first row"}, "rows": {"type": ["integer", "null"], "minimum": 0},
  "label": {"type": ["string", "number", "boolean", "null"], "description": "the true answer of the first row"}, "labels": {"type": ["array", "null"], "maxItems": 16, "items": {"type": ["string", "number", "boolean", "null"]}}}},
"Events": {"oneOf": [{"type": "object", "required": ["events"], "additionalProperties": false, "properties": {"events": {"type": "array", "maxItems": 10000, "items": {"$ref": "#/components/schemas/Event"}}}},
  {"type": "array", "maxItems": 10000, "items": {"$ref": "#/components/schemas/Event"}}, {"$ref": "#/components/schemas/Event"}]},
"EventReceipt": {"type": "object", "required": ["accepted", "rejected", "from_future", "before_1970", "labels_accepted", "labels_rejected", "next", "errors"], "properties": {"accepted": {"type": "integer"}, "rejected": {"type": "integer", "description": "invalid: they are not to be sent again as they are"},
  "from_future": {"type": "integer", "description": "accepted, with now as their time"}, "before_1970": {"type": "integer", "description": "likewise"}, "labels_accepted": {"type": "integer"}, "labels_rejected": {"type": "integer", "description": "send these by /api/v1/labels"}, "next": {"type": ["integer", "null"], "description": "with 503: the entry to begin with next time"},
  "errors": {"type": "array", "items": {"type": "string"}}, "error": {"type": "object"}}},
"ObservedVersion": {"type": "object", "required": ["model", "version", "requests", "ok", "client_errors", "server_errors", "cancelled", "unknown", "latency", "predicted"], "properties": {"predicted": {"type": "object", "description": "class → requests, the most frequent ones", "additionalProperties": {"type": "integer"}}, "model": {"type": "string"},
  "version": {"type": "integer", "description": "0: the log names none"}, "requests": {"type": "integer"}, "ok": {"type": "integer"}, "client_errors": {"type": "integer"}, "server_errors": {"type": "integer"}, "cancelled": {"type": "integer"}, "unknown": {"type": "integer", "description": "the log does not say"},
  "latency": {"description": "null: the log does not say", "oneOf": [{"type": "null"}, {"type": "object", "properties": {"count": {"type": "integer"}, "p50_seconds": {"type": "number"}, "p99_seconds": {"type": "number"}}}]}}},
"LogSource": {"type": "object", "required": ["source", "lines", "predictions", "other_requests", "files"], "properties": {"source": {"type": "string"}, "lines": {"type": "integer"}, "predictions": {"type": "integer"}, "other_requests": {"type": "integer"}, "unknown_model": {"type": "integer"}, "unknown_segments": {"type": "integer", "description": "predictions that name a segmentation which their model has not"},
  "errors": {"type": "integer"}, "malformed_lines": {"type": "integer"}, "unrecognised_lines": {"type": "integer"}, "cut_lines": {"type": "integer"}, "lag_bytes": {"type": "integer"}, "skipped_bytes": {"type": "integer", "description": "stood in the files before the first start, and is not read"}, "model_features": {"type": "object", "description": "the same by model", "additionalProperties": {"type": "array", "items": {"type": "string"}}}, "other_paths": {"type": "object", "additionalProperties": {"type": "integer"}}, "features": {"type": "array", "description": "names, by the index that the profile of the inputs gives them; empty where there are several models", "items": {"type": "string"}},
  "files": {"type": "array", "items": {"type": "object", "required": ["path", "recognised", "format"], "properties": {"path": {"type": "string"}, "recognised": {"type": "boolean"}, "format": {"type": "string"}, "reads": {"type": "string"}, "reason": {"type": "string"}}}}}},
"Logs": {"type": "object", "required": ["models", "sources"], "properties": {"models": {"type": "array", "items": {"$ref": "#/components/schemas/ObservedVersion"}}, "sources": {"type": "array", "items": {"$ref": "#/components/schemas/LogSource"}}}},
"Alarm": {"type": "object", "required": ["id", "state", "kind", "severity", "model", "version", "of", "summary", "pending_since", "fired", "resolved", "firings", "notified", "notified_severity", "silence", "evidence", "threshold", "details"],
  "description": "one subject that is wrong, or was; the numbers of each kind: docs/alarms.md", "properties": {"id": {"type": "integer", "description": "the millisecond in which it began, or the next that was free"}, "state": {"enum": ["pending", "firing", "resolved"]},
  "kind": {"enum": ["error_burn", "latency_burn", "accuracy", "quality", "risk_increase", "prediction_drift", "feature_drift", "traffic_stopped", "schema_violation", "capture_loss"]}, "severity": {"enum": ["page", "ticket", "info"]},
  "model": {"type": "string", "description": "empty: the whole process"}, "version": {"type": ["integer", "null"], "description": "null: all of the model"}, "of": {"type": "string", "description": "the feature, log and the like; empty where there is only one"},
  "summary": {"type": "string"}, "pending_since": {"type": ["string", "null"], "format": "date-time"}, "fired": {"type": ["string", "null"], "format": "date-time"}, "resolved": {"type": ["string", "null"], "format": "date-time"},
  "firings": {"type": "integer", "description": "how often it fired; above 1 it flaps"}, "notified": {"type": "boolean", "description": "receivers are owed, or were told, that it fires, and not yet that it ended"}, "notified_severity": {"enum": ["page", "ticket", "info", null], "description": "how severe it was then"}, "silence": {"type": ["integer", "null"], "description": "the silence that holds it back"},
  "evidence": {"type": ["number", "null"], "description": "when it was last wrong"}, "threshold": {"type": ["number", "null"]}, "budget_spent": {"type": ["number", "null"], "description": "share of the AlarmBudget's period that this firing may cost"},
  "guaranteed": {"type": "boolean", "description": "the bound on false alarms is proven for it"}, "samples": {"type": "integer"}, "reference_samples": {"type": "integer"},
  "details": {"type": "array", "description": "what explains it", "items": {"type": "object", "required": ["name", "value"], "properties": {"name": {"type": "string"}, "value": {"type": "string"}}}}}},
"AlarmList": {"type": "object", "required": ["looked", "watched", "dropped", "alarms"], "properties": {"looked": {"type": ["string", "null"], "format": "date-time", "description": "when the watches were last asked"},
  "watched": {"type": "integer", "description": "subjects that are looked at"}, "dropped": {"type": "integer", "description": "findings that became no alarm because there were too many"}, "alarms": {"type": "array", "items": {"$ref": "#/components/schemas/Alarm"}}}},
"NewSilence": {"type": "object", "required": ["author", "comment"], "additionalProperties": false, "description": "at least one of kind, model, version, of; and either until or for", "properties": {"kind": {"type": "string"}, "model": {"type": "string"}, "version": {"type": "integer"},
  "of": {"type": "string"}, "until": {"type": "string", "format": "date-time"}, "for": {"type": "string", "description": "a duration, as 2h"}, "author": {"type": "string", "description": "whom to ask"}, "comment": {"type": "string", "description": "why"}}},
"Silence": {"type": "object", "required": ["id", "kind", "model", "version", "of", "created", "until", "author", "comment"], "properties": {"id": {"type": "integer"}, "kind": {"type": "string", "description": "empty: any, as in the other matchers"}, "model": {"type": "string"},
  "version": {"type": ["integer", "null"]}, "of": {"type": "string"}, "created": {"type": ["string", "null"], "format": "date-time"}, "until": {"type": ["string", "null"], "format": "date-time"}, "author": {"type": "string"}, "comment": {"type": "string"}}},
"NewlyMadeSilence": {"type": "object", "required": ["id", "kind", "model", "version", "of", "created", "until", "author", "comment", "matches", "warning"], "properties": {"matches": {"type": "integer", "description": "alarms that fire or are pending now"}, "warning": {"type": "string", "description": "empty: none; that no model of this name is known"}, "id": {"type": "integer"}, "kind": {"type": "string", "description": "empty: any, as in the other matchers"}, "model": {"type": "string"},
  "version": {"type": ["integer", "null"]}, "of": {"type": "string"}, "created": {"type": ["string", "null"], "format": "date-time"}, "until": {"type": ["string", "null"], "format": "date-time"}, "author": {"type": "string"}, "comment": {"type": "string"}}},
"SilenceList": {"type": "object", "required": ["silences"], "properties": {"silences": {"type": "array", "items": {"$ref": "#/components/schemas/Silence"}}}},
"RemovedSilence": {"type": "object", "required": ["id", "removed"], "properties": {"id": {"type": "integer"}, "removed": {"const": true}}},
"GatewayWeights": {"type": "object", "required": ["weights"], "additionalProperties": false, "properties": {"weights": {"type": "object", "additionalProperties": {"type": ["number", "string"]}, "description": "share by version, as 0.1 or 10%; 100% together"}}},
"Gateway": {"type": "object", "required": ["listeners", "connections", "services"], "properties": {"listeners": {"type": "array", "items": {"type": "object", "required": ["address", "port"], "properties": {"address": {"type": "string"}, "port": {"type": "integer"}}}},
  "connections": {"type": "integer", "description": "of clients"}, "services": {"type": "array", "items": {"$ref": "#/components/schemas/GatewayService"}}}},
"GatewayService": {"type": "object", "required": ["name", "split_by", "by_rollout", "versions"], "properties": {"name": {"type": "string"}, "split_by": {"enum": ["random", "header", "cookie", "client"]}, "by_rollout": {"type": "boolean", "description": "a rollout decides on the shares"},
  "versions": {"type": "array", "items": {"$ref": "#/components/schemas/GatewayVersion"}}}},
"GatewayVersion": {"type": "object", "required": ["version", "share", "ready", "pending", "requests", "errors", "retries", "endpoints"], "properties": {"version": {"type": "integer"}, "share": {"type": "number"}, "ready": {"type": "boolean"}, "pending": {"type": "integer"}, "requests": {"type": "integer"}, "errors": {"type": "integer", "description": "answered 5xx"}, "retries": {"type": "integer"},
  "endpoints": {"type": "array", "items": {"$ref": "#/components/schemas/GatewayEndpoint"}}}},
"GatewayEndpoint": {"type": "object", "required": ["endpoint", "state", "reason", "connections", "active", "requests", "failures", "ejections"], "properties": {"endpoint": {"type": "string"}, "state": {"enum": ["healthy", "unhealthy", "ejected", "unknown", "unresolved"]}, "reason": {"type": "string"}, "connections": {"type": "integer"}, "active": {"type": "integer"}, "requests": {"type": "integer"}, "failures": {"type": "integer"}, "ejections": {"type": "integer"}}},
"EnvoyReport": {"type": "object", "required": ["models", "access_log", "ext_proc", "seen_twice", "other_paths", "features"], "properties": {"models": {"type": "array", "items": {"$ref": "#/components/schemas/ObservedVersion"}},
  "access_log": {"type": "object", "properties": {"streams": {"type": "integer"}, "messages": {"type": "integer"}, "malformed_messages": {"type": "integer"}, "predictions": {"type": "integer"}, "other_requests": {"type": "integer"}, "unknown_model": {"type": "integer"}, "http_entries": {"type": "integer"}, "early_entries": {"type": "integer"}, "tcp_entries": {"type": "integer"}}},
  "ext_proc": {"type": "object", "properties": {"streams": {"type": "integer"}, "messages": {"type": "integer"}, "malformed_messages": {"type": "integer"}, "predictions": {"type": "integer"}, "other_requests": {"type": "integer"}, "unknown_model": {"type": "integer"}, "exchanges": {"type": "object", "additionalProperties": {"type": "integer"}}, "request_bodies": {"type": "object", "additionalProperties": {"type": "integer"}}, "response_bodies": {"type": "object", "additionalProperties": {"type": "integer"}}, "held_bytes": {"type": "integer"}}},
  "seen_twice": {"type": "integer"}, "other_paths": {"type": "object", "additionalProperties": {"type": "integer"}}, "features": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}}},
"Configuration": {"type": "object", "description": "the effective configuration; its JSON Schema: docs/reference/configuration.schema.json"},
"OpenApi": {"type": "object"}
})json";

std::string Reason(int status) {
  switch (status) {
    case 200:
      return "done";
    case 201:
      return "created";
    case 202:
      return "accepted; takes effect at the next tick";
    case 400:
      return "the request is wrong; the message names the field";
    case 404:
      return "no such thing";
    case 409:
      return "not possible in the present state";
    case 429:
      return "the queue is full; send again later";
    case 501:
      return "not switched on in this server";
    case 503:
      return "not ready, or no room at the moment";
    default:
      return "error";
  }
}

Json Content(const std::string& schema) {
  if (schema == "text") return {{"text/plain", {{"schema", {{"type", "string"}}}}}};
  if (schema == "binary") return {{"application/octet-stream", Json::object()}};
  return {{"application/json", {{"schema", {{"$ref", StrCat("#/components/schemas/", schema)}}}}}};
}

Json Operation(const Route& route) {
  Json operation = {{"operationId", route.id}, {"summary", route.summary}};
  Json parameters = Json::array();
  for (const Route::Parameter& parameter : route.parameters) {
    parameters.push_back({{"name", parameter.name},
                          {"in", parameter.in},
                          {"required", parameter.in == "path"},
                          {"description", parameter.doc},
                          {"schema", {{"type", parameter.type}}}});
  }
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
  if (!route.request_schema.empty()) {
    const bool optional = route.request_schema == "Who" || route.request_schema == "Promotion";
    operation["requestBody"] = {{"required", !optional},
                                {"content", Content(route.request_schema)}};
  }
  Json responses = Json::object();
  for (const auto& [status, schema] : route.responses) {
    responses[std::to_string(status)] = {{"description", Reason(status)},
                                         {"content", Content(schema)}};
  }
  operation["responses"] = std::move(responses);
  return operation;
}

}  // namespace

std::string OpenApiDocument(const std::vector<Route>& routes, std::string_view version) {
  Json schemas = Json::parse(kSchemas);
  Json paths = Json::object();
  for (const Route& route : routes) {
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(c | 0x20);
    paths[route.path][method] = Operation(route);
  }
  Json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Leadsman admin API"},
        {"version", version},
        {"description",
         "Health, models, rollouts with their evidence, labels and configuration of one server."}}},
      {"paths", std::move(paths)},
      {"components", {{"schemas", std::move(schemas)}}}};
  return document.dump(1) + "\n";
}

}  // namespace leadsman::console
