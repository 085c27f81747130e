#include "backend/python/python_backend.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman::python {
namespace {

using nlohmann::json;

constexpr size_t kMaxTensors = 65535;  // their number goes in 16 bits

json Describe(const std::vector<TensorSpec>& specs) {
  json list = json::array();
  for (const TensorSpec& spec : specs) {
    json shape = json::array();
    for (int64_t dim : spec.shape.dims()) shape.push_back(dim);
    list.push_back({{"name", spec.name},
                    {"datatype", std::string(DataTypeName(spec.type))},
                    {"shape", std::move(shape)},
                    {"optional", spec.optional}});
  }
  return list;
}

Result<std::vector<TensorSpec>> ReadSpecs(const json& document, const char* which) {
  auto wrong = [&](std::string_view what) {
    return InternalError(StrCat("the Python worker's signature is broken: ", which, ": ", what));
  };
  auto list = document.find(which);
  if (list == document.end() || !list->is_array() || list->empty()) return wrong("not a list");
  if (list->size() > kMaxTensors) return wrong(StrCat("more than ", kMaxTensors, " tensors"));
  std::vector<TensorSpec> specs;
  std::set<std::string> names;
  for (const json& entry : *list) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() ||
        !entry.contains("datatype") || !entry["datatype"].is_string() || !entry.contains("shape") ||
        !entry["shape"].is_array()) {
      return wrong("an entry without name, datatype and shape");
    }
    TensorSpec& spec = specs.emplace_back();
    spec.name = entry["name"].get<std::string>();
    std::optional<DataType> type = ParseDataType(entry["datatype"].get<std::string>());
    if (!type || *type == DataType::kBf16 || entry["shape"].size() > Shape::kMaxRank)
      return wrong(spec.name);
    spec.type = *type;
    for (const json& dim : entry["shape"]) {
      if (!dim.is_number_integer() || dim.get<int64_t>() < -1) return wrong(spec.name);
      spec.shape.Append(dim.get<int64_t>());
    }
    auto optional = entry.find("optional");
    spec.optional = optional != entry.end() && optional->is_boolean() && optional->get<bool>();
    if (!names.insert(spec.name).second) return wrong(StrCat(spec.name, " twice"));
  }
  return specs;
}

bool SameSpecs(const std::vector<TensorSpec>& a, const std::vector<TensorSpec>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const TensorSpec& x, const TensorSpec& y) {
                      return x.name == y.name && x.type == y.type && x.shape == y.shape &&
                             x.optional == y.optional;
                    });
}

/// The first worker's signature, which all others must have too.
class AgreedSignature {
 public:
  Status Accept(const std::string& loaded) {
    Result<Signature> signature = ParseWorkerSignature(loaded);
    if (!signature.ok()) return signature.status();
    MutexLock lock(mutex_);
    if (!agreed_) {
      agreed_ = std::move(signature).value();
    } else if (!SameSpecs(agreed_->inputs, signature->inputs) ||
               !SameSpecs(agreed_->outputs, signature->outputs)) {
      return InternalError("the model's signature is not what it was when it was loaded first");
    }
    return OkStatus();
  }
  Signature Get() {
    MutexLock lock(mutex_);
    return agreed_.value_or(Signature());
  }

 private:
  Mutex mutex_;
  std::optional<Signature> agreed_ GUARDED_BY(mutex_);
};

class PythonContext final : public ExecutionContext {
 public:
  PythonContext(WorkerPool& pool, const Signature& signature, Clock& clock, Duration call_timeout)
      : pool_(pool), signature_(signature), clock_(clock), call_timeout_(call_timeout) {}

  Result<std::span<const TensorView>> Execute(std::span<const TensorView> inputs) override {
    return ExecuteBefore(clock_.SteadyNow() + call_timeout_, inputs);
  }
  Result<std::span<const TensorView>> ExecuteBefore(SteadyTime deadline,
                                                    std::span<const TensorView> inputs) override {
    RETURN_IF_ERROR(pool_.Call(signature_, inputs, deadline, buffer_));
    return buffer_.views();
  }

 private:
  WorkerPool& pool_;
  const Signature& signature_;
  Clock& clock_;
  const Duration call_timeout_;
  OutputBuffer buffer_;
};

class PythonBackend final : public Backend {
 public:
  PythonBackend(std::string format, std::shared_ptr<PythonHost> host)
      : format_(std::move(format)), host_(std::move(host)) {}
  const std::string& name() const override { return name_; }
  const std::string& runtime_version() const override { return version_; }
  Result<std::unique_ptr<LoadedModel>> Load(const LoadSpec& spec) override {
    return host_->Load(format_, spec);
  }

 private:
  const std::string name_ = "python";
  const std::string version_ = StrCat("channel ", kProtocolVersion);
  const std::string format_;
  const std::shared_ptr<PythonHost> host_;
};

/// Libraries that bring threads of their own: each worker is one of several, and told how many it may use.
void LimitThreads(int threads, std::map<std::string, std::string>& environment) {
  for (const char* name :
       {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "TF_NUM_INTRAOP_THREADS"}) {
    environment.insert_or_assign(name, std::to_string(threads));
  }
  environment.insert_or_assign("TF_NUM_INTEROP_THREADS", std::to_string(1));
}

}  // namespace

class PythonModel final : public LoadedModel {
 public:
  PythonModel(Signature signature, std::shared_ptr<PythonHost> host,
              std::unique_ptr<WorkerPool> pool, Duration call_timeout, int instances)
      : LoadedModel(std::move(signature)),
        host_(std::move(host)),
        pool_(std::move(pool)),
        call_timeout_(call_timeout),
        instances_(instances) {}
  ~PythonModel() override { host_->Leave(pool_.get()); }

  Result<std::unique_ptr<ExecutionContext>> NewContext(size_t /*signature*/) override {
    return std::unique_ptr<ExecutionContext>(
        std::make_unique<PythonContext>(*pool_, signature(), host_->clock_, call_timeout_));
  }
  bool waits() const override { return true; }
  int concurrency() const override { return instances_; }
  std::string note() const override { return pool_->GetVitals().note; }
  int64_t outside_memory_bytes() const override { return pool_->GetVitals().resident_bytes; }

 private:
  const std::shared_ptr<PythonHost> host_;
  const std::unique_ptr<WorkerPool> pool_;
  const Duration call_timeout_;
  const int instances_;
};

Result<Signature> ParseWorkerSignature(const std::string& text) {
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object())
    return InternalError("the Python worker's signature is broken: not JSON");
  Signature signature;
  ASSIGN_OR_RETURN(signature.inputs, ReadSpecs(document, "inputs"));
  ASSIGN_OR_RETURN(signature.outputs, ReadSpecs(document, "outputs"));
  return signature;
}

std::shared_ptr<PythonHost> PythonHost::Create(Clock& clock, PythonOptions options) {
  return std::shared_ptr<PythonHost>(new PythonHost(clock, std::move(options)));
}

void PythonHost::Register(BackendRegistry& registry) {
  for (std::string_view format : kFormats) {
    registry.Register(std::string(format),
                      std::make_shared<PythonBackend>(std::string(format), shared_from_this()));
  }
}

void PythonHost::RegisterMissing(BackendRegistry& registry, const Status& why) {
  for (std::string_view format : kFormats) registry.RegisterMissing(std::string(format), why);
}

Result<std::string> PythonHost::FindFolder() const {
  for (const std::string& dir : options_.plugin_dirs) {
    std::string folder = JoinPath(dir, "python");
    if (access(JoinPath(folder, "leadsman_python_guard").c_str(), X_OK) == 0 &&
        access(JoinPath(folder, "run_worker.py").c_str(), R_OK) == 0) {
      return folder;
    }
  }
  return FailedPreconditionError(
      StrCat("the Python worker is not installed: no python/leadsman_python_guard and "
             "python/run_worker.py in the "
             "plug-in folders (",
             Join(options_.plugin_dirs, ", "),
             "); install Leadsman's plug-ins, or name their folder by plugins.dirs"));
}

WorkerLoop& PythonHost::Loop() {
  MutexLock lock(mutex_);
  if (!loop_) loop_ = std::make_unique<WorkerLoop>(clock_);
  return *loop_;
}

std::shared_ptr<ModelCounters> PythonHost::CountersOf(const std::string& model) {
  MutexLock lock(mutex_);
  std::shared_ptr<ModelCounters>& counters = counters_[model];
  if (!counters) counters = std::make_shared<ModelCounters>();
  return counters;
}

void PythonHost::Enter(const std::string& model, int64_t version, WorkerPool* pool) {
  MutexLock lock(mutex_);
  pools_.push_back({model, version, pool});
}

void PythonHost::Leave(WorkerPool* pool) {
  MutexLock lock(mutex_);
  std::erase_if(pools_, [&](const Entry& entry) { return entry.pool == pool; });
}

std::vector<std::string> PythonHost::EndCalls() {
  std::vector<std::string> at_work;
  MutexLock lock(mutex_);
  for (const Entry& entry : pools_) {
    if (entry.pool->EndCalls()) at_work.push_back(StrCat(entry.model, ":", entry.version));
  }
  return at_work;
}

PythonVitals PythonHost::GetVitals() const {
  PythonVitals vitals;
  MutexLock lock(mutex_);
  for (const Entry& entry : pools_)
    vitals.versions.push_back({entry.model, entry.version, entry.pool->GetVitals()});
  for (const auto& [name, counters] : counters_) {
    PythonVitals::Model& model = vitals.models.emplace_back();
    model.name = name;
    for (size_t i = 0; i < kRestartReasons; ++i) model.restarts[i] = counters->restarts[i].load();
    model.log_lines_dropped = counters->log_lines_dropped.load();
  }
  return vitals;
}

Result<std::unique_ptr<LoadedModel>> PythonHost::Load(const std::string& format,
                                                      const LoadSpec& spec) {
  ASSIGN_OR_RETURN(ModelOptions options, ParseModelOptions(spec.options));
  ASSIGN_OR_RETURN(std::string folder, FindFolder());
  std::map<std::string, std::string> set = options.env;
  LimitThreads(spec.intra_op_threads, set);
  // A version's folder is not written to: it would look changed.
  set.emplace("PYTHONDONTWRITEBYTECODE", "1");
  set.emplace("PYTHONUTF8", "1");
  std::vector<std::string> pass;
  for (std::string_view name : Split(options.pass_env, ',')) pass.emplace_back(Trim(name));
  ASSIGN_OR_RETURN(
      std::string interpreter,
      FindInterpreter(options.interpreter.empty() ? options_.interpreter : options.interpreter,
                      options_.environment));

  json wanted;
  wanted["format"] = format;
  wanted["directory"] = spec.directory;
  wanted["model_file"] = spec.model_file;
  wanted["path"] = JoinPath(spec.directory, spec.model_file);
  wanted["threads"] = spec.intra_op_threads;
  wanted["max_memory"] = options.max_memory;
  wanted["options"] = json::object();
  if (!options.method.empty()) wanted["options"]["method"] = options.method;
  for (const auto& [key, value] : options.options) wanted["options"]["option." + key] = value;
  wanted["inputs"] = Describe(spec.declared.inputs);
  wanted["outputs"] = Describe(spec.declared.outputs);

  auto agreed = std::make_shared<AgreedSignature>();
  WorkerPool::Settings settings;
  settings.model_name = spec.model_name;
  settings.version = spec.version;
  settings.instances = std::max(spec.instances, 1);
  settings.load_json = wanted.dump(-1, ' ', false, json::error_handler_t::replace);
  settings.spawn.guard = JoinPath(folder, "leadsman_python_guard");
  settings.spawn.command = {interpreter, JoinPath(folder, "run_worker.py")};
  settings.spawn.environment = WorkerEnvironment(options_.environment, pass, set);
  settings.accept = [agreed](const std::string& loaded) { return agreed->Accept(loaded); };
  const Duration call_timeout = options.call_timeout;
  settings.options = std::move(options);

  auto pool = std::make_unique<WorkerPool>(clock_, Loop(), std::move(settings),
                                           CountersOf(spec.model_name));
  RETURN_IF_ERROR(pool->Start(spec.cancel));
  Enter(spec.model_name, spec.version, pool.get());
  return std::unique_ptr<LoadedModel>(
      std::make_unique<PythonModel>(agreed->Get(), shared_from_this(), std::move(pool),
                                    call_timeout, std::max(spec.instances, 1)));
}

}  // namespace leadsman::python
