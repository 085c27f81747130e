#include "backend/plugin_host.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "backend/leadsman_backend.h"
#include "base/check.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

// Strings cross the ABI without a copy because a leadsman_string is what libstdc++ makes of a
// string_view; the test PluginHostTest.StringViewsAreAbiStrings looks at the order of the two
// fields.
static_assert(sizeof(leadsman_string) == sizeof(std::string_view));
static_assert(alignof(leadsman_string) == alignof(std::string_view));
static_assert(LEADSMAN_MAX_RANK == Shape::kMaxRank);
static_assert(LEADSMAN_BOOL == static_cast<int>(DataType::kBool));
static_assert(LEADSMAN_INT64 == static_cast<int>(DataType::kInt64));
static_assert(LEADSMAN_FP32 == static_cast<int>(DataType::kFp32));
static_assert(LEADSMAN_BYTES == static_cast<int>(DataType::kBytes));
static_assert(LEADSMAN_BF16 == static_cast<int>(DataType::kBf16));

bool IsDataType(int32_t dtype) { return dtype >= LEADSMAN_BOOL && dtype <= LEADSMAN_BF16; }

/// The buffer that a plug-in writes its error text into; lives on the caller's stack, costs nothing
/// when all is well.
class ErrorText {
 public:
  ErrorText() { text_[0] = '\0'; }
  leadsman_error* abi() { return &error_; }
  Status ToStatus(leadsman_code code) const {
    StatusCode known =
        code > 0 && code < kStatusCodeCount ? static_cast<StatusCode>(code) : StatusCode::kInternal;
    return Status(known, text_[0] ? std::string(text_.data()) : "the backend gave no reason");
  }

 private:
  std::array<char, 4096> text_;
  leadsman_error error_{text_.size(), text_.data()};
};

void Log(void* self, int32_t level, const char* message) {
  const auto& backend = *static_cast<const std::string*>(self);
  switch (level) {
    case LEADSMAN_LOG_DEBUG:
      LOG_DEBUG("backend says", {"backend", backend}, {"text", message});
      break;
    case LEADSMAN_LOG_INFO:
      LOG_INFO("backend says", {"backend", backend}, {"text", message});
      break;
    case LEADSMAN_LOG_WARN:
      LOG_WARN("backend says", {"backend", backend}, {"text", message});
      break;
    default:
      LOG_ERROR("backend says", {"backend", backend}, {"text", message});
      break;
  }
}

Result<std::vector<TensorSpec>> ReadSpecs(const leadsman_tensor_spec* specs, size_t count) {
  std::vector<TensorSpec> out;
  for (size_t i = 0; i < count; ++i) {
    const leadsman_tensor_spec& spec = specs[i];
    const bool any_rank = spec.rank == LEADSMAN_ANY_RANK;
    if (spec.name == nullptr || !IsDataType(spec.dtype) ||
        (!any_rank && spec.rank > Shape::kMaxRank)) {
      return InternalError(StrCat("the backend's signature is broken at tensor ", i));
    }
    TensorSpec& added = out.emplace_back();
    added.name = spec.name;
    added.type = static_cast<DataType>(spec.dtype);
    added.optional = spec.optional != 0;
    added.any_rank = any_rank;
    for (uint32_t d = 0; !any_rank && d < spec.rank; ++d)
      added.shape.Append(spec.dims[d] < 0 ? -1 : spec.dims[d]);
  }
  return out;
}

/// A started plug-in. Shared by the registry and every model that came from it, so that stop comes
/// last.
class PluginBackend final : public Backend, public std::enable_shared_from_this<PluginBackend> {
 public:
  explicit PluginBackend(const leadsman_backend_api& api) : api_(api), name_(api.name) {}
  ~PluginBackend() override {
    if (backend_ != nullptr) api_.stop(backend_);
  }

  Status Start(const std::vector<leadsman_option>& options) {
    ErrorText error;
    leadsman_code code = api_.start(&host_, options.data(), options.size(), &backend_, error.abi());
    if (code != LEADSMAN_OK) {
      backend_ = nullptr;
      return error.ToStatus(code);
    }
    if (const char* version = api_.runtime_version(backend_)) version_ = version;
    return OkStatus();
  }

  const std::string& name() const override { return name_; }
  const std::string& runtime_version() const override { return version_; }
  Result<std::unique_ptr<LoadedModel>> Load(const LoadSpec& spec) override;
  const leadsman_backend_api& api() const { return api_; }

 private:
  const leadsman_backend_api& api_;
  const std::string name_;
  std::string version_;
  leadsman_host host_{sizeof(leadsman_host), const_cast<std::string*>(&name_), &Log};
  leadsman_backend* backend_ = nullptr;
};

class PluginContext final : public ExecutionContext {
 public:
  PluginContext(const leadsman_backend_api& api, const Signature& signature,
                leadsman_context* context)
      : api_(api), signature_(signature), context_(context) {
    inputs_.resize(signature.inputs.size());
    outputs_.resize(signature.outputs.size());
    for (size_t i = 0; i < outputs_.size(); ++i) outputs_[i].name = signature.outputs[i].name;
  }
  ~PluginContext() override { api_.free_context(context_); }

  Result<std::span<const TensorView>> Execute(std::span<const TensorView> inputs) override {
    if (inputs.size() == inputs_.size()) {
      for (size_t i = 0; i < inputs.size(); ++i) Pass(inputs[i], inputs_[i]);
    } else {
      RETURN_IF_ERROR(PassByName(inputs));
    }
    const leadsman_tensor* outputs = nullptr;
    size_t count = 0;
    ErrorText error;
    leadsman_code code =
        api_.execute(context_, inputs_.data(), inputs_.size(), &outputs, &count, error.abi());
    if (code != LEADSMAN_OK) return error.ToStatus(code);
    if (count != outputs_.size()) {
      return InternalError(StrCat("the backend gave ", count, " outputs, not ", outputs_.size()));
    }
    for (size_t i = 0; i < count; ++i) {
      const leadsman_tensor& from = outputs[i];
      TensorView& to = outputs_[i];
      if (!IsDataType(from.dtype) || from.rank > Shape::kMaxRank) {
        return InternalError(
            StrCat("the backend gave a broken tensor for output \"", to.name, "\""));
      }
      to.type = static_cast<DataType>(from.dtype);
      to.shape.Clear();
      for (uint32_t d = 0; d < from.rank; ++d) to.shape.Append(from.dims[d]);
      to.data = from.data;
      to.element_count = from.element_count;
    }
    return std::span<const TensorView>(outputs_);
  }

 private:
  static void Pass(const TensorView& from, leadsman_tensor& to) {
    to.dtype = static_cast<leadsman_dtype>(from.type);
    to.rank = static_cast<uint32_t>(from.shape.rank());
    to.dims = from.shape.data();
    to.data = from.data;
    to.element_count = from.element_count;
  }

  /// Optional inputs were left out: the names say which.
  Status PassByName(std::span<const TensorView> inputs) {
    size_t taken = 0;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const TensorSpec& spec = signature_.inputs[i];
      auto it = std::find_if(inputs.begin(), inputs.end(),
                             [&](const TensorView& view) { return view.name == spec.name; });
      if (it != inputs.end()) {
        Pass(*it, inputs_[i]);
        ++taken;
      } else if (spec.optional) {
        inputs_[i] = leadsman_tensor{};
      } else {
        return InvalidArgumentError(StrCat("input \"", spec.name, "\" is missing"));
      }
    }
    if (taken != inputs.size()) {
      return InvalidArgumentError(
          StrCat("the model takes ", inputs_.size(), " inputs, but ", inputs.size(), " came"));
    }
    return OkStatus();
  }

  const leadsman_backend_api& api_;
  const Signature& signature_;
  leadsman_context* const context_;
  std::vector<leadsman_tensor> inputs_;
  std::vector<TensorView> outputs_;
};

/// Whether the plug-in was built with the fields for several signatures, and filled them.
bool HasSeveralSignatures(const leadsman_backend_api& api) {
  constexpr size_t kNeeded = offsetof(leadsman_backend_api, new_context_for) + sizeof(void*);
  return api.struct_size >= kNeeded && api.signature_count != nullptr &&
         api.signatures != nullptr && api.new_context_for != nullptr;
}

Result<Signature> ReadSignature(const leadsman_signature& from) {
  Signature signature;
  ASSIGN_OR_RETURN(signature.inputs, ReadSpecs(from.inputs, from.input_count));
  ASSIGN_OR_RETURN(signature.outputs, ReadSpecs(from.outputs, from.output_count));
  return signature;
}

Result<std::vector<NamedSignature>> ReadSignatures(const leadsman_backend_api& api,
                                                   const leadsman_model* model) {
  std::vector<NamedSignature> read;
  if (!HasSeveralSignatures(api)) {
    const leadsman_signature* only = api.signature(model);
    if (only == nullptr) return InternalError("the backend gave no signature");
    ASSIGN_OR_RETURN(Signature signature, ReadSignature(*only));
    read.push_back({kDefaultSignatureName, kPredictMethod, std::move(signature)});
    return read;
  }
  const size_t count = api.signature_count(model);
  const leadsman_named_signature* all = api.signatures(model);
  if (count == 0 || all == nullptr) return InternalError("the backend gave no signature");
  for (size_t i = 0; i < count; ++i) {
    if (all[i].name == nullptr) {
      return InternalError(StrCat("the backend's signature ", i, " has no name"));
    }
    ASSIGN_OR_RETURN(Signature signature, ReadSignature(all[i].signature));
    read.push_back({all[i].name, all[i].method != nullptr ? all[i].method : kPredictMethod,
                    std::move(signature)});
  }
  return read;
}

class PluginModel final : public LoadedModel {
 public:
  PluginModel(std::shared_ptr<PluginBackend> backend, leadsman_model* model,
              std::vector<NamedSignature> signatures)
      : LoadedModel(std::move(signatures)), backend_(std::move(backend)), model_(model) {}
  ~PluginModel() override { backend_->api().unload(model_); }

  Result<std::unique_ptr<ExecutionContext>> NewContext(size_t index) override {
    CHECK(index < signatures().size());
    const leadsman_backend_api& api = backend_->api();
    leadsman_context* context = nullptr;
    ErrorText error;
    leadsman_code code = HasSeveralSignatures(api)
                             ? api.new_context_for(model_, index, &context, error.abi())
                             : api.new_context(model_, &context, error.abi());
    if (code != LEADSMAN_OK) return error.ToStatus(code);
    return std::unique_ptr<ExecutionContext>(
        new PluginContext(api, signatures()[index].signature, context));
  }

 private:
  const std::shared_ptr<PluginBackend> backend_;
  leadsman_model* const model_;
};

Result<std::unique_ptr<LoadedModel>> PluginBackend::Load(const LoadSpec& spec) {
  std::vector<leadsman_option> options;
  for (const auto& [key, value] : spec.options) options.push_back({key.c_str(), value.c_str()});
  leadsman_load_spec abi{};
  abi.struct_size = sizeof abi;
  abi.model_name = spec.model_name.c_str();
  abi.version = spec.version;
  abi.directory = spec.directory.c_str();
  abi.model_file = spec.model_file.c_str();
  abi.intra_op_threads = spec.intra_op_threads;
  abi.options = options.data();
  abi.option_count = options.size();
  leadsman_model* model = nullptr;
  ErrorText error;
  leadsman_code code = api_.load(backend_, &abi, &model, error.abi());
  if (code != LEADSMAN_OK) return error.ToStatus(code);
  Result<std::vector<NamedSignature>> signatures = ReadSignatures(api_, model);
  if (!signatures.ok()) {
    api_.unload(model);
    return signatures.status();
  }
  return std::unique_ptr<LoadedModel>(
      new PluginModel(shared_from_this(), model, std::move(*signatures)));
}

int OpenFlags() {
#ifdef LEADSMAN_SANITIZED
  // The sanitizers' own malloc has to be seen by the plug-in; they refuse DEEPBIND.
  return RTLD_NOW | RTLD_LOCAL;
#else
  return RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND;
#endif
}

Result<const leadsman_backend_api*> OpenPlugin(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) {
    return NotFoundError(StrCat("plug-in ", path, ": there is no such file"));
  }
  void* library = dlopen(path.c_str(), OpenFlags());
  if (library == nullptr) {
    return FailedPreconditionError(StrCat("plug-in ", path, " cannot be loaded: ", dlerror()));
  }
  auto entry =
      reinterpret_cast<leadsman_backend_entry_fn>(dlsym(library, "leadsman_backend_entry"));
  if (entry == nullptr) {
    dlclose(library);
    return FailedPreconditionError(StrCat(
        "plug-in ", path, " is not a Leadsman backend: it does not export leadsman_backend_entry"));
  }
  const leadsman_backend_api* api = entry(LEADSMAN_BACKEND_ABI_VERSION);
  if (api == nullptr)
    return FailedPreconditionError(StrCat("plug-in ", path, " gave no table of functions"));
  if (api->abi_version != LEADSMAN_BACKEND_ABI_VERSION) {
    return FailedPreconditionError(
        StrCat("plug-in ", path, " speaks version ", api->abi_version,
               " of the backend ABI, this server version ", LEADSMAN_BACKEND_ABI_VERSION,
               ": build the plug-in again with this server's leadsman_backend.h"));
  }
  // The fields after execute came later: a plug-in built without them is as good.
  constexpr size_t kNeeded = offsetof(leadsman_backend_api, execute) + sizeof(void*);
  bool complete = api->struct_size >= kNeeded && api->name && api->formats && api->start &&
                  api->stop && api->runtime_version && api->load && api->unload && api->signature &&
                  api->new_context && api->free_context && api->execute;
  if (!complete) {
    return FailedPreconditionError(
        StrCat("plug-in ", path, " left functions of the backend ABI out"));
  }
  return api;
}

std::vector<std::string> FindPlugins(const std::vector<std::string>& folders) {
  std::vector<std::string> found;
  for (const std::string& folder : folders) {
    std::vector<std::string> here;
    std::error_code error;
    for (auto it = std::filesystem::directory_iterator(folder, error);
         !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
      std::string name = it->path().filename();
      if (name.starts_with("leadsman_backend_") && name.ends_with(".so"))
        here.push_back(it->path());
    }
    std::sort(here.begin(), here.end());
    found.insert(found.end(), here.begin(), here.end());
  }
  return found;
}

}  // namespace

PluginOptions PluginOptions::Default(const std::string& binary_dir,
                                     const std::function<std::string(const char*)>& env) {
  PluginOptions options;
  if (std::string dir = env("LEADSMAN_PLUGINS"); !dir.empty()) {
    options.plugin_dirs = {dir};
  } else {
    options.plugin_dirs = {binary_dir + "/../plugins", binary_dir + "/../lib/leadsman/plugins"};
  }
  if (std::string dir = env("LEADSMAN_RUNTIMES"); !dir.empty()) options.runtime_dirs.push_back(dir);
  if (std::string home = env("HOME"); !home.empty()) {
    options.runtime_dirs.push_back(home + "/.cache/leadsman/runtimes");
  }
  options.runtime_dirs.push_back(binary_dir + "/../lib/leadsman/runtimes");
  constexpr std::pair<const char*, const char*> kLibraries[] = {
      {"LEADSMAN_ONNXRUNTIME", "onnxruntime"},
      {"LEADSMAN_TENSORFLOW", "tensorflow"},
      {"LEADSMAN_XGBOOST", "xgboost"},
      {"LEADSMAN_LIGHTGBM", "lightgbm"}};
  for (const auto& [variable, backend] : kLibraries) {
    if (std::string file = env(variable); !file.empty()) {
      options.backend_options[backend]["library"] = file;
    }
  }
  return options;
}

Result<std::shared_ptr<Backend>> StartPlugin(const std::string& path, const PluginOptions& options,
                                             PluginReport* report) {
  ASSIGN_OR_RETURN(const leadsman_backend_api* api, OpenPlugin(path));
  if (report != nullptr) {
    report->name = api->name;
    report->formats.assign(api->formats, api->formats + api->format_count);
  }
  std::string plugin_dir = std::filesystem::path(path).parent_path();
  std::vector<leadsman_option> abi_options;
  for (const std::string& dir : options.runtime_dirs)
    abi_options.push_back({"runtime_dir", dir.c_str()});
  abi_options.push_back({"plugin_dir", plugin_dir.c_str()});
  if (auto it = options.backend_options.find(api->name); it != options.backend_options.end()) {
    for (const auto& [key, value] : it->second) abi_options.push_back({key.c_str(), value.c_str()});
  }
  auto backend = std::make_shared<PluginBackend>(*api);
  Status started = backend->Start(abi_options);
  if (!started.ok()) return Annotate(std::move(started), StrCat("backend ", api->name));
  if (report != nullptr) report->runtime_version = backend->runtime_version();
  return std::shared_ptr<Backend>(std::move(backend));
}

std::vector<PluginReport> LoadBackends(const PluginOptions& options, BackendRegistry& registry) {
  std::vector<PluginReport> reports;
  for (const std::string& path : FindPlugins(options.plugin_dirs)) {
    PluginReport& report = reports.emplace_back();
    report.path = path;
    Result<std::shared_ptr<Backend>> backend = StartPlugin(path, options, &report);
    report.status = backend.status();
    for (const std::string& format : report.formats) {
      auto known = registry.entries().find(format);
      bool taken = known != registry.entries().end();
      if (taken && (known->second.backend || !backend.ok())) {
        LOG_WARN("format is served by an earlier plug-in already", {"format", format},
                 {"plugin", path});
      } else if (backend.ok()) {
        registry.Register(format, *backend);
      } else {
        registry.RegisterMissing(format, backend.status());
      }
    }
    if (backend.ok()) {
      LOG_INFO("backend started", {"backend", report.name},
               {"runtime_version", report.runtime_version}, {"formats", Join(report.formats, ",")},
               {"plugin", path});
    } else {
      LOG_WARN("backend not available", {"plugin", path}, {"why", backend.status()});
    }
  }
  return reports;
}

std::vector<std::string> FormatsOfPlugins(const std::vector<std::string>& plugin_dirs) {
  std::vector<std::string> formats;
  for (const std::string& path : FindPlugins(plugin_dirs)) {
    Result<const leadsman_backend_api*> api = OpenPlugin(path);
    if (api.ok())
      formats.insert(formats.end(), (*api)->formats, (*api)->formats + (*api)->format_count);
  }
  return formats;
}

}  // namespace leadsman
