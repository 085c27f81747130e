#include "lifecycle/load.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/log.h"
#include "base/low_priority.h"
#include "base/rng.h"
#include "base/strings.h"
#include "lifecycle/independent_rows.h"
#include "lifecycle/loader_pool.h"
#include "lifecycle/memory_budget.h"
#include "lifecycle/sample_inputs.h"
#include "lifecycle/triton_model.h"
#include "lifecycle/triton_parameters.h"
#include "lifecycle/triton_warmup.h"
#include "storage/detect.h"
#include "storage/verify.h"

namespace leadsman {
namespace {

/// Warm-up inputs beyond this are not worth their memory: the version goes without.
constexpr int64_t kMaxWarmupBytes = int64_t{256} << 20;
/// How many of the sizes to which batches are padded.
constexpr size_t kWarmupSizes = 16;

std::string Describe(const TensorSpec& spec) {
  return StrCat(DataTypeName(spec.type), spec.shape.ToString());
}

bool Compatible(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank()) return false;
  for (size_t i = 0; i < a.rank(); ++i) {
    if (a[i] != b[i] && a[i] >= 0 && b[i] >= 0) return false;
  }
  return true;
}

Status CompareTensor(std::string_view what, const TensorSpec& said, const TensorSpec* found,
                     const std::vector<TensorSpec>& all) {
  if (found == nullptr) {
    std::vector<std::string> names;
    for (const TensorSpec& spec : all) names.push_back(spec.name);
    return InvalidArgumentError(StrCat("manifest.json names the ", what, " ", said.name,
                                       ", the model has none of that name; it has ",
                                       HumanList(names)));
  }
  if (said.type == found->type && Compatible(said.shape, found->shape)) return OkStatus();
  return InvalidArgumentError(StrCat("manifest.json says that the ", what, " ", said.name, " is ",
                                     Describe(said), ", the model's is ", Describe(*found)));
}

void FillZeros(Tensor& to, size_t count) {
  if (to.type() == DataType::kBytes) {
    for (size_t i = 0; i < count; ++i) to.PushString("");
  } else {
    std::fill_n(static_cast<char*>(to.Extend(count)), count * ElementSize(to.type()), '\0');
  }
}

Status CheckOutputs(const Signature& signature, std::span<const TensorView> outputs) {
  if (outputs.size() != signature.outputs.size()) {
    return InternalError(StrCat("the model gave ", outputs.size(), " outputs, its signature has ",
                                signature.outputs.size()));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorSpec& spec = signature.outputs[i];
    if (outputs[i].type == spec.type) continue;
    return InternalError(StrCat("the output ", spec.name, " came as ",
                                DataTypeName(outputs[i].type), ", its signature says ",
                                DataTypeName(spec.type)));
  }
  return OkStatus();
}

/// As long as `tensors` stay as they are.
std::vector<TensorView> ViewsOf(const std::vector<Tensor>& tensors) {
  std::vector<TensorView> views;
  for (const Tensor& tensor : tensors) views.push_back(tensor.View());
  return views;
}

/// How long each of a few rows of zeros took. Nothing when the model does not take them.
Result<std::vector<Duration>> SendZeros(const ServableVersion& servable, Clock& clock,
                                        const std::atomic<bool>& cancel) {
  std::vector<Duration> times;
  const Signature& signature = servable.model->signature();
  std::optional<std::vector<Tensor>> tensors =
      SampleInputs(signature, 1, 1, kMaxWarmupBytes, FillZeros);
  if (!tensors) {
    LOG_WARN("one row of the model's inputs is too large to warm up with",
             {"model", servable.model_name}, {"version", servable.version});
    return times;
  }
  const std::vector<TensorView> inputs = ViewsOf(*tensors);
  Result<std::unique_ptr<ExecutionContext>> context = servable.model->NewContext();
  if (!context.ok()) return Annotate(context.status(), "warm-up");
  for (int i = 0; i < servable.config->warmup_requests && !cancel.load(); ++i) {
    SteadyTime begin = clock.SteadyNow();
    Result<std::span<const TensorView>> outputs = (*context)->Execute(inputs);
    if (!outputs.ok() && outputs.status().code() == StatusCode::kInvalidArgument) {
      // It is the values that it refuses: a model that knows its categories, say. Nothing is wrong with it.
      LOG_INFO("the model does not take a row of zeros; it is not warmed up",
               {"model", servable.model_name}, {"version", servable.version});
      return std::vector<Duration>();
    }
    if (!outputs.ok()) return Annotate(outputs.status(), "warm-up with a row of zeros");
    times.push_back(clock.SteadyNow() - begin);
    RETURN_IF_ERROR(CheckOutputs(signature, *outputs));
  }
  return times;
}

/// A batch of zeros of each size to which batches are padded: runtimes prepare for a shape when they meet it first. What the
/// model does not take, or not so large, is left to its requests.
Status SendAllowedSizes(const ServableVersion& servable, const std::atomic<bool>& cancel) {
  const std::vector<uint32_t>& sizes = servable.config->batching->allowed_batch_sizes;
  if (sizes.empty()) return OkStatus();
  Result<std::unique_ptr<ExecutionContext>> context = servable.model->NewContext();
  if (!context.ok()) return Annotate(context.status(), "warm-up");
  for (size_t i = 0; i < std::min(sizes.size(), kWarmupSizes) && !cancel.load(); ++i) {
    std::optional<std::vector<Tensor>> tensors =
        SampleInputs(servable.model->signature(), sizes[i], 1, kMaxWarmupBytes, FillZeros);
    if (!tensors) break;
    const std::vector<TensorView> inputs = ViewsOf(*tensors);
    Result<std::span<const TensorView>> outputs = (*context)->Execute(inputs);
    if (outputs.ok()) continue;
    LOG_WARN("the model is not warmed up for the sizes of its batches",
             {"model", servable.model_name}, {"version", servable.version}, {"size", sizes[i]},
             {"why", outputs.status()});
    break;
  }
  return OkStatus();
}

/// How long each of the requests took that the config.pbtxt describes.
Result<std::vector<Duration>> SendSamples(const ServableVersion& servable, Clock& clock,
                                          const std::atomic<bool>& cancel) {
  std::vector<Duration> times;
  const Signature& signature = servable.model->signature();
  Rng rng(static_cast<uint64_t>(servable.version));
  Result<std::unique_ptr<ExecutionContext>> context = servable.model->NewContext();
  if (!context.ok()) return Annotate(context.status(), "warm-up");
  for (const TritonConfig::Warmup& warmup : servable.triton->warmups) {
    ASSIGN_OR_RETURN(std::vector<Tensor> tensors, WarmupTensors(warmup, signature, rng));
    const std::vector<TensorView> inputs = ViewsOf(tensors);
    for (int i = 0; i < warmup.count && !cancel.load(); ++i) {
      SteadyTime begin = clock.SteadyNow();
      Result<std::span<const TensorView>> outputs = (*context)->Execute(inputs);
      if (!outputs.ok())
        return Annotate(outputs.status(),
                        StrCat("warm-up by ", kTritonConfigName, ": model_warmup ", warmup.name));
      times.push_back(clock.SteadyNow() - begin);
      RETURN_IF_ERROR(CheckOutputs(signature, *outputs));
    }
  }
  return times;
}

/// Whether those are sent: our own configuration has the last word on how many there are.
bool HasSamples(const ServableVersion& servable) {
  return servable.triton && !servable.triton->warmups.empty() &&
         servable.config->warmup_requests == servable.triton->warmup_requests;
}

/// Sends the requests that lie beside the model through it, or zeros where there are none, and measures. The first calls of
/// many runtimes are the slow ones, so the median.
Status WarmUp(const LoadRequest& request, ServableVersion& servable, const std::string& directory,
              Clock& clock, const std::atomic<bool>& cancel, LoadOutcome& out) {
  const ModelConfig& config = *servable.config;
  std::vector<Duration> times;
  const ReplayWarmup* replay = request.replay_warmup;
  if (config.warmup_repeats > 0 && replay != nullptr && *replay) {
    ASSIGN_OR_RETURN(times, (*replay)(servable, directory, cancel));
    out.warmup_requests = times.size();
  }
  if (times.empty() && HasSamples(servable)) {
    ASSIGN_OR_RETURN(times, SendSamples(servable, clock, cancel));
    out.warmup_requests = times.size();
  }
  if (times.empty() && config.warmup_requests > 0) {
    ASSIGN_OR_RETURN(times, SendZeros(servable, clock, cancel));
  }
  if (config.batching && config.warmup_requests > 0)
    RETURN_IF_ERROR(SendAllowedSizes(servable, cancel));
  if (!times.empty()) {
    auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    servable.warm_cost = *middle;
  }
  servable.run_inline = !servable.model->waits() && !config.HasOwnQueue() &&
                        (config.execution == ExecutionMode::kInline ||
                         (config.execution == ExecutionMode::kAuto && !times.empty() &&
                          servable.warm_cost < config.inline_below));
  return OkStatus();
}

/// Whether requests are run together that come at the same time, and how many rows: no more than what `inline_below` allows a
/// thread with other clients.
void ChooseRowsTogether(ServableVersion& servable, Clock& clock, const std::atomic<bool>& cancel) {
  const ModelConfig& config = *servable.config;
  // Where there is a config.pbtxt, it has `dynamic_batching` or is not to be batched.
  if (!config.auto_batching || config.execution != ExecutionMode::kAuto || !servable.run_inline ||
      servable.triton || servable.warm_cost <= Duration::zero())
    return;
  const auto rows = static_cast<uint32_t>(
      std::min<int64_t>(config.inline_below / servable.warm_cost, BatchingConfig().max_batch_size));
  if (rows < 2 || !RowsAreIndependent(*servable.model, rows, clock, cancel)) return;
  servable.rows_together = rows;
  servable.run_inline = false;
}

/// What a config.pbtxt says to the runtime, where our own configuration and the manifest do not.
void TakeTritonConfig(const ServableVersion& servable, LoadSpec& spec) {
  const TritonConfig& triton = *servable.triton;
  TritonParameters parameters = TranslateParameters(triton.parameters, servable.format);
  spec.options.merge(std::move(parameters.options));
  if (spec.intra_op_threads == ModelConfig().intra_op_threads && parameters.intra_op_threads)
    spec.intra_op_threads = *parameters.intra_op_threads;
  for (const std::string& name : parameters.without_effect) {
    LOG_WARN("without effect", {"model", servable.model_name}, {"version", servable.version},
             {"what", StrCat(kTritonConfigName, ": parameters.", name,
                             " does nothing: models of the format ", servable.format,
                             " have no such setting")});
  }
  bool says_nothing = spec.declared.inputs.empty() && spec.declared.outputs.empty();
  if (says_nothing) spec.declared = SignatureOf(triton);
}

/// Failures that come back however often one tries: they wait for another artefact or another
/// machine.
bool MayPass(StatusCode code) {
  return code != StatusCode::kInvalidArgument && code != StatusCode::kUnimplemented;
}

/// What manifest.json says; or, when there is none and none is asked for, what the files look like: then there is
/// nothing to verify them against.
Result<Manifest> ManifestOf(const LoadRequest& request, const std::string& directory,
                            bool& verify) {
  Result<std::string> json = ReadFile(JoinPath(directory, kManifestFileName), kMaxManifestBytes);
  if (!json.ok() && json.status().code() == StatusCode::kNotFound &&
      !request.config->require_manifest) {
    verify = false;
    return DetectModel(directory, request.config->format, request.config->model_file,
                       request.triton ? &request.triton->value() : nullptr);
  }
  if (!json.ok()) return json.status();
  Result<Manifest> manifest = ParseManifest(*json);
  if (!manifest.ok()) return Annotate(manifest.status(), kManifestFileName);
  return manifest;
}

/// The runtime of the manifest's format; when it is not on this machine, of the first alternative
/// that has one, and the manifest then says so.
Result<std::shared_ptr<Backend>> BackendFor(Manifest& manifest, const BackendRegistry& backends) {
  Result<std::shared_ptr<Backend>> backend = backends.ForFormat(manifest.format);
  for (size_t i = 0; !backend.ok() && i < manifest.alternatives.size(); ++i) {
    Result<std::shared_ptr<Backend>> other = backends.ForFormat(manifest.alternatives[i].format);
    if (!other.ok()) continue;
    manifest.format = manifest.alternatives[i].format;
    manifest.model_file = manifest.alternatives[i].model_file;
    return other;
  }
  return backend;
}

/// Runs a piece of a load, with low priority if the request wants that and the piece may. Exceptions become INTERNAL.
template <typename Work>
Status Piece(const LoadRequest& request, bool may_be_low, Work work) {
  if (!request.low_priority || !may_be_low) return work();
  Status status;
  RunAtLowPriority([&] { status = work(); });
  return status;
}

/// Whether the runtime's load starts threads or processes that serve later: they would inherit the low priority for
/// good where the process may not give it back. ONNX Runtime starts none for one thread.
bool StartsThreads(const std::string& backend, const LoadSpec& spec) {
  return backend != "onnxruntime" || spec.intra_op_threads > 1;
}

/// Children are processes of their own: their threads are not found among ours.
bool StartsProcesses(const std::string& backend) { return backend == "python"; }

Status LoadIntoMemory(const LoadRequest& request, Backend& backend, const LoadSpec& spec,
                      ServableVersion& servable) {
  const bool starts_threads = StartsThreads(servable.backend_name, spec);
  const bool starts_processes = StartsProcesses(servable.backend_name);
  // An interpreter takes seconds to import what a model needs: what loads in no time does not wait for that.
  std::optional<LoaderPool::Elsewhere> elsewhere;
  if (starts_processes && request.pool != nullptr) elsewhere.emplace(*request.pool);
  const bool may_be_low = !starts_processes && (!starts_threads || MayRestorePriority());
  std::vector<int> before;
  if (request.low_priority && may_be_low && starts_threads) before = ThreadIds();
  RETURN_IF_ERROR(Piece(request, may_be_low, [&] {
    ASSIGN_OR_RETURN(servable.model, backend.Load(spec));
    return OkStatus();
  }));
  // Before any request meets them.
  if (!before.empty()) RestorePriority(before);
  return OkStatus();
}

int64_t FileBytes(const std::string& directory) {
  int64_t bytes = 0;
  std::error_code error;
  for (auto it = std::filesystem::recursive_directory_iterator(directory, error);
       !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) bytes += static_cast<int64_t>(it->file_size(ignored));
  }
  return bytes;
}

/// What a load takes up.
struct Memory {
  MemoryBudget::Reservation room;
  int64_t before = 0;  ///< resident when it began
};

/// RESOURCE_EXHAUSTED when there is no room.
Status TakeRoom(const LoadRequest& request, LoadOutcome& out, Memory& memory) {
  if (request.budget != nullptr) {
    Result<MemoryBudget::Reservation> reserved =
        request.budget->Reserve(request.config->name, request.version, out.file_bytes);
    out.no_room = !reserved.ok();
    if (!reserved.ok()) return reserved.status();
    memory.room = std::move(reserved).value();
  }
  memory.before = ResidentBytes();
  return OkStatus();
}

/// What is here already.
Status LoadFiles(const LoadRequest& request, const LocalVersion& local,
                 const BackendRegistry& backends, Clock& clock, const std::atomic<bool>& cancel,
                 const std::function<void(VersionState)>& progress, LoadOutcome& out,
                 Memory& memory) {
  const std::string& directory = local.directory;
  bool verify = true;
  Result<Manifest> manifest = ManifestOf(request, directory, verify);
  if (!manifest.ok()) return manifest.status();
  Result<std::shared_ptr<Backend>> backend = BackendFor(*manifest, backends);
  out.format = manifest->format;
  if (!backend.ok()) {
    out.retry = false;  // the runtimes of a process do not change
    return backend.status();
  }
  out.backend = (*backend)->name();
  // Before the files are read: while there is no room, this is tried again and again.
  out.file_bytes = FileBytes(directory);
  RETURN_IF_ERROR(TakeRoom(request, out, memory));
  if (verify) {
    progress(VersionState::kVerifying);
    RETURN_IF_ERROR(Piece(request, true, [&] {
      return VerifyFiles(*manifest, directory, request.config->name, request.version, &cancel);
    }));
  }

  progress(VersionState::kLoading);
  auto servable = std::make_unique<ServableVersion>();
  servable->model_name = request.config->name;
  servable->version = request.version;
  servable->backend_name = out.backend;
  servable->format = out.format;
  servable->config = request.config;
  if (request.triton) {
    servable->triton =
        std::shared_ptr<const TritonConfig>(request.triton, &request.triton->value());
  }
  servable->files = local.lease;
  LoadSpec spec{.model_name = request.config->name,
                .version = request.version,
                .directory = directory,
                .model_file = manifest->model_file,
                .intra_op_threads = request.config->intra_op_threads,
                .instances = std::max(request.config->instances, 1),
                .options = request.config->runtime_options,
                .declared = manifest->signature,
                .cancel = &cancel};
  if (servable->triton) TakeTritonConfig(*servable, spec);
  RETURN_IF_ERROR(LoadIntoMemory(request, **backend, spec, *servable));
  RETURN_IF_ERROR(CompareSignatures(manifest->signature, servable->model->signature()));
  if (servable->triton) {
    ASSIGN_OR_RETURN(servable->model, AsTritonModel(std::move(servable->model), *servable->triton));
  }

  progress(VersionState::kWarming);
  const std::string model_folder =
      std::filesystem::path(JoinPath(directory, manifest->model_file)).parent_path().string();
  RETURN_IF_ERROR(Piece(request, true, [&] {
    RETURN_IF_ERROR(WarmUp(request, *servable, model_folder, clock, cancel, out));
    ChooseRowsTogether(*servable, clock, cancel);
    return OkStatus();
  }));
  if (cancel.load()) return CancelledError("the server is shutting down");
  if (request.prepare) RETURN_IF_ERROR(request.prepare(*servable));
  out.servable = std::move(servable);
  return OkStatus();
}

Status Load(const LoadRequest& request, const BackendRegistry& backends, Clock& clock,
            const std::atomic<bool>& cancel, const std::function<void(VersionState)>& progress,
            LoadOutcome& out, Memory& memory) {
  // A model that is said to be another than it is would be served wrongly.
  if (request.triton && !request.triton->ok()) return request.triton->status();
  // A store's deadlines are of the machine's clock: `clock` may stand still in tests.
  StoreCall call{.deadline = SystemClock().SteadyNow() + request.fetch_timeout, .cancel = &cancel};
  ASSIGN_OR_RETURN(LocalVersion local,
                   request.source->Fetch(request.version, *request.progress, call));
  out.fetched = true;
  if (request.version_settings == nullptr || !*request.version_settings)
    return LoadFiles(request, local, backends, clock, cancel, progress, out, memory);
  LoadRequest own = request;
  ASSIGN_OR_RETURN(own.config, (*request.version_settings)(request.config, local.directory));
  return LoadFiles(own, local, backends, clock, cancel, progress, out, memory);
}

}  // namespace

Status CompareSignatures(const Signature& manifest, const Signature& runtime) {
  if (manifest.inputs.empty() && manifest.outputs.empty()) return OkStatus();
  for (const TensorSpec& said : manifest.inputs) {
    RETURN_IF_ERROR(CompareTensor("input", said, runtime.FindInput(said.name), runtime.inputs));
  }
  for (const TensorSpec& found : runtime.inputs) {
    if (found.optional || manifest.FindInput(found.name) != nullptr) continue;
    return InvalidArgumentError(StrCat("the model needs the input ", found.name, " (",
                                       Describe(found), "), which manifest.json does not name"));
  }
  for (const TensorSpec& said : manifest.outputs) {
    RETURN_IF_ERROR(CompareTensor("output", said, runtime.FindOutput(said.name), runtime.outputs));
  }
  return OkStatus();
}

int64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  long long size = 0, resident = 0;
  int read = std::fscanf(file, "%lld %lld", &size, &resident);
  std::fclose(file);
  return read == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

LoadOutcome LoadVersion(const LoadRequest& request, const BackendRegistry& backends, Clock& clock,
                        const std::atomic<bool>& cancel,
                        const std::function<void(VersionState)>& progress) {
  LoadOutcome out;
  SteadyTime begin = clock.SteadyNow();
  Memory memory;
  try {
    out.status = Load(request, backends, clock, cancel, progress, out, memory);
  } catch (const std::exception& e) {
    out.status = InternalError(StrCat("the load ended with an exception: ", e.what()));
  }
  out.retry = out.retry && MayPass(out.status.code());
  out.took = clock.SteadyNow() - begin;
  if (!out.servable) return out;
  const int64_t bytes = std::max<int64_t>(0, ResidentBytes() - memory.before) +
                        out.servable->model->outside_memory_bytes();
  if (request.budget == nullptr || request.budget->WasAlone(memory.room)) out.memory_bytes = bytes;
  if (request.budget != nullptr) {
    request.budget->Measured(memory.room, request.config->name, request.version, out.file_bytes,
                             bytes);
  }
  return out;
}

}  // namespace leadsman
