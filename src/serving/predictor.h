#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/snapshot.h"
#include "base/status.h"
#include "events/prediction_event.h"
#include "lifecycle/manager.h"
#include "serving/context_pool.h"
#include "serving/model_statistics.h"
#include "serving/segment_reader.h"
#include "serving/tfserving_counts.h"
#include "stats/trace_context.h"
#include "tensor/tensor.h"

namespace leadsman {

class BatchTask;
struct BatchWork;

/// Which traffic goes where, for models that a rollout has its hands on. Immutable; swapped whole
/// by the embedded actuator, so that a rollback is one pointer swap. A model without an entry is
/// served by its highest ready version.
struct RouteTable {
  struct Route {
    int64_t stable = 0;
    int64_t candidate = 0;  ///< 0 = none
    uint32_t candidate_share =
        0;  ///< in 1/10,000ths of the requests that name no version and no label
    /// Where requests find its versions by name, unless the model has a label of that name: "stable", "canary".
    std::map<std::string, int64_t> Labels() const;
  };
  std::unordered_map<std::string, Route, ServableTable::Hash, std::equal_to<>> routes;
};

/// What a request asks for.
struct ModelSelector {
  std::string_view model;
  std::optional<int64_t> version;
  std::string_view label;
};

/// One request from admission to answer. Reused by its connection: buffers keep their capacity.
/// Confined to the connection's thread, but for the time it is in the pool.
struct PredictionCall {
  // Set by the protocol.
  Protocol protocol = Protocol::kUnknown;
  TfServingApi api = TfServingApi::kUncounted;  ///< with TensorFlow Serving's protocols
  std::string
      request_id;  ///< as sent by the client, or made by the protocol when the client sent none
  TraceContext
      trace;  ///< as sent by the client, with a span of our own; not valid() when it sent none
  SteadyTime received{};
  std::optional<SteadyTime> deadline;
  uint32_t request_bytes = 0;
  std::vector<Tensor> inputs;  ///< in the order of the signature's inputs; the protocol fills them
                               ///< an absent optional input has type kInvalid
  size_t input_count = 0;      ///< how many of `inputs` are in use
  uint32_t rows = 1;
  /// Which of handle->model->signatures() is called; set between Admit and decoding.
  size_t signature = 0;
  uint32_t priority = 0;  ///< 0 = the model's default, 1 = the highest

  // Set by Admit.
  std::string model_name;
  Handle handle;
  bool drawn = false;  ///< as PredictionEvent::drawn
  int64_t version() const { return handle ? handle->version : 0; }
  /// After a successful Admit.
  const Signature& signature_called() const {
    return handle->model->signatures()[signature].signature;
  }

  // Set by Execute.
  Status status;
  std::span<const TensorView> outputs;  ///< valid until Finish
  uint64_t decode_ns = 0;               ///< from `received` until Execute
  uint64_t compute_ns = 0;
  uint64_t queue_ns = 0;       ///< from Execute until the model began
  uint64_t input_ns = 0;       ///< putting a batch together
  uint64_t output_ns = 0;      ///< taking it apart
  uint32_t executed_rows = 0;  ///< as RequestTimes::executed_rows

  /// Holds what `outputs` points into. After `handle`: given back before it. Used by the serving
  /// room alone.
  ContextPool::Lease lease;
  std::shared_ptr<BatchWork> batch;  ///< the same for a call that was run together with others
  std::vector<TensorView> input_views;
  std::vector<TensorView> output_views;  ///< its rows of the batch
  std::shared_ptr<BatchTask> queued;     ///< its place in a queue, kept for the next call
  uint32_t feature_stride = 0;           ///< the event gets this call's features; 0 = it does not
  std::vector<float> features;
  std::vector<std::string> segment_headers;  ///< as SegmentReader::TakeHeaders took them
  void ViewInputs();                         ///< input_views of the inputs that are there
  /// Who says several times how long it waits means the shortest.
  void AnswerBy(SteadyTime until) {
    if (!deadline || until < *deadline) deadline = until;
  }

  /// Ready for the next request; buffers keep their capacity. The call must not be between Admit
  /// and Finish.
  void Reset();
};

/// What of a model's calls the monitor sees; as MonitorConfig has them.
struct WatchedPart {
  std::string signature;  ///< empty, or of a version that has none of this name: its first
  std::string output;     ///< the prediction that labels are compared with; empty: by the rule
  bool operator==(const WatchedPart&) const = default;
};

/// What the model's note says to somebody who asked for a version that is not there: what is about
/// that version; all of it when the model has no version at all. Notes on other versions and labels
/// would only read as if they were the reason.
std::string NoteAbout(const ModelStatus& model, int64_t version);

/// Protocol-neutral prediction:
///   Admit (version choice, handle) → the protocol decodes against call.signature_called() →
///   Execute → the protocol encodes `outputs` → Finish (counters, one PredictionEvent, handle given
///   back).
/// Finish must be called exactly once for every call on which Admit was called, whatever Admit
/// returned. Thread-safe.
class Predictor {
 public:
  struct Deps {
    Clock& clock;
    LifecycleManager& lifecycle;
    Sink& sink;
    struct ServingMetrics* metrics;  ///< may be null in tests
  };
  struct Options {
    int pool_threads = 2;
    size_t pool_queue =
        1024;  ///< requests that may wait for the pool; more are refused with UNAVAILABLE
    size_t pool_queue_bytes = 256 << 20;  ///< the same by what their inputs take in memory
    std::chrono::milliseconds default_timeout{
        60'000};                                 ///< for pooled requests that bring no deadline
    std::map<std::string, WatchedPart> watched;  ///< by model
    /// Model → MonitorConfig::segments.
    std::map<std::string, std::vector<SegmentRule>> segments;
  };
  Predictor(Deps deps, Options options);
  ~Predictor();  ///< Stop, however long the running calls take

  /// For LifecycleManager::Deps::prepare: the threads of a version that has its own. A version that was not prepared gets
  /// them with its first request.
  Status Prepare(const ServableVersion& version);

  /// Ends the pool: queued calls get UNAVAILABLE and their `done` on this thread, those to come get
  /// it at once, and those running are waited for, with their `done`. To be called, once nothing is
  /// admitted any more, before anything that a `done` touches goes. False when calls still run after
  /// `wait` (a runtime cannot be interrupted): what they will touch must not be destroyed then.
  /// Thread-safe; may be called again; not from a `done`.
  bool Stop(std::chrono::milliseconds wait);
  /// "iris:3": the versions that compute now, off the threads that brought the requests. To tell what Stop has not waited for; of
  /// those that are ready, and so not one that is being unloaded.
  std::vector<std::string> Computing() const;

  /// NOT_FOUND: no such model or version; INVALID_ARGUMENT: unknown label; UNAVAILABLE: model
  /// known, nothing ready yet (the message says what is going on); DEADLINE_EXCEEDED.
  ///
  /// While a route's stable version is not ready, its share is served by the highest ready version
  /// that is not the candidate, which would otherwise get all traffic while the stable one loads (a
  /// restart in mid-rollout); without one, UNAVAILABLE. Only when the stable one will not come
  /// (failed, gone) does the candidate serve alone.
  Status Admit(const ModelSelector& selector, PredictionCall& call);

  /// The version that `selector` means, for metadata: without version and label the stable one of a
  /// rollout, else the highest ready. Errors as of Admit.
  Result<Handle> Find(const ModelSelector& selector) const;

  /// Runs the model. Cheap models (handle->run_inline) run here and now, and `done` is called
  /// before Execute returns (true); those with handle->rows_together as well, or at the end of this thread's
  /// turn of its event loop (false), with what else it brings; others are queued (false), for the pool or for the model's own
  /// instances, and `done` is called from another thread, or here and now (true) when the call is
  /// refused: the queue is full, the deadline cannot be met, or it has more rows than the model's
  /// config.pbtxt allows (INVALID_ARGUMENT). call.status says how it went:
  /// UNAVAILABLE (the queue is full, or shutting down), DEADLINE_EXCEEDED, CANCELLED or the runtime's
  /// error. Inputs must agree with the signature (CheckAgainst).
  bool Execute(PredictionCall& call, std::function<void()> done);

  /// The client of a queued call has gone: takes the call out of its queue, and calls `done`, with
  /// CANCELLED, before it returns (true). False: it is running or over, and nothing is done. By the
  /// thread that called Execute, as long as the call has not been given to another Execute.
  bool Cancel(PredictionCall& call);
  /// The server is going away: no batch waits for others any more. Thread-safe.
  void Drain();

  /// `status` is the request's outcome (decode errors included). Emits the event and releases
  /// everything.
  void Finish(PredictionCall& call, const Status& status, size_t response_bytes);

  /// For SegmentReader::TakeHeaders, before Admit. Thread-safe.
  const SegmentReader& segments() const;

  /// Thread-safe.
  void SetWatched(const std::string& model, const WatchedPart& part);

  /// Replaces the routes of all models. Thread-safe; takes effect for the next admission.
  void SetRoutes(std::shared_ptr<const RouteTable> routes);
  std::shared_ptr<const RouteTable> routes() const;

  LifecycleManager& lifecycle();

  /// As ServingMetrics::Statistics, and of every version that is ready. Empty without metrics.
  std::vector<ModelStatistics> Statistics(std::string_view model = {},
                                          std::optional<int64_t> version = {}) const;

  /// What the routes still wait for: "model iris: version 3, its stable version, is loading". Empty once every routed
  /// stable version is ready, or will not come.
  std::vector<std::string> AwaitedVersions() const;
  /// For readiness: LifecycleManager::SettledOnce, and nothing was awaited at a time after. Once true it stays so.
  bool SettledOnce() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman
