#include "model.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "options.h"

namespace leadsman_tensorflow {
namespace {

using leadsman_plugin::Failure;
using leadsman_plugin::Options;
using leadsman_plugin::TensorInfo;

constexpr const char* kDefaultSignature = "serving_default";
constexpr const char* kPredict = "tensorflow/serving/predict";

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}
void AppendField(std::string& out, int number, uint64_t value) {
  AppendVarint(out, static_cast<uint64_t>(number) << 3);
  AppendVarint(out, value);
}

std::vector<std::string> Split(const std::string& list) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= list.size();) {
    size_t end = std::min(list.find(',', begin), list.size());
    if (end > begin) parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// "serving_default_x:0" → its operation and index. A null operation: there is none such.
TF_Output Find(const Api& api, TF_Graph* graph, const std::string& tensor) {
  std::string name = tensor;
  int index = 0;
  if (size_t colon = name.rfind(':'); colon != std::string::npos) {
    const char* end = name.data() + name.size();
    auto [stop, error] = std::from_chars(name.data() + colon + 1, end, index);
    if (error != std::errc() || stop != end || index < 0) return {nullptr, 0};
    name.resize(colon);
  }
  TF_Operation* operation = api.graph_operation_by_name(graph, name.c_str());
  if (operation == nullptr || index >= api.operation_num_outputs(operation)) return {nullptr, 0};
  return {operation, index};
}

}  // namespace

Model::Model(Runtime& runtime, const leadsman_load_spec& spec)
    : api_(runtime.Load()),
      graph_(api_.new_graph(), api_.delete_graph),
      run_options_(nullptr, api_.delete_buffer) {
  Options options(spec);
  const std::vector<std::string> tags = Split(options.Text("tags", "serve"));
  const int64_t inter_op_threads = options.Number("inter_op_threads", 1, 1, 1024);
  options.Finish();

  std::error_code error;
  const std::string file = std::string(spec.directory) + "/" + spec.model_file;
  if (!std::filesystem::is_regular_file(file, error)) {
    throw Failure{LEADSMAN_NOT_FOUND,
                  "the model file " + std::string(spec.model_file) + " is missing"};
  }
  const std::string name = std::filesystem::path(file).filename();
  if (name != "saved_model.pb" && name != "saved_model.pbtxt") {
    throw Failure{LEADSMAN_INVALID_ARGUMENT,
                  "the model file is " + name + "; of a SavedModel it is saved_model.pb"};
  }
  try {
    Open(spec, tags, inter_op_threads, *runtime.host());
  } catch (...) {
    Close();
    throw;
  }
}

Model::~Model() { Close(); }

void Model::Close() {
  if (session_ == nullptr) return;
  Status status(api_);
  api_.close_session(session_, status.get());
  api_.delete_session(session_, status.get());
  session_ = nullptr;
}

void Model::Open(const leadsman_load_spec& spec, const std::vector<std::string>& tags,
                 int64_t inter_op_threads, const leadsman_host& host) {
  // A ConfigProto.
  std::string config;
  AppendField(config, 2, static_cast<uint64_t>(std::max(spec.intra_op_threads, 1)));
  AppendField(config, 5, static_cast<uint64_t>(inter_op_threads));
  AppendField(config, 7, 1);  // allow_soft_placement: a model trained on a GPU names its devices
  AppendField(config, 9, 1);  // use_per_session_threads: versions do not wait for each other
  Status status(api_);
  Owned<TF_SessionOptions> session_options(api_.new_session_options(), api_.delete_session_options);
  api_.set_config(session_options.get(), config.data(), config.size(), status.get());
  if (!status.ok()) throw Failure{LEADSMAN_INTERNAL, status.text()};
  if (inter_op_threads == 1) {
    // RunOptions: inter_op_thread_pool = -1, the calling thread. No hand-over to another.
    std::string run_options;
    AppendField(run_options, 3, ~uint64_t{0});
    run_options_.reset(api_.new_buffer_from_string(run_options.data(), run_options.size()));
  }
  std::vector<const char*> tag_names;
  for (const std::string& tag : tags) tag_names.push_back(tag.c_str());
  const std::string folder =
      std::filesystem::path(std::string(spec.directory) + "/" + spec.model_file).parent_path();
  Owned<TF_Buffer> meta_graph(api_.new_buffer(), api_.delete_buffer);
  session_ = api_.load_session_from_saved_model(
      session_options.get(), nullptr, folder.c_str(), tag_names.data(),
      static_cast<int>(tag_names.size()), graph_.get(), meta_graph.get(), status.get());
  if (!status.ok()) {
    session_ = nullptr;
    constexpr int kResourceExhausted = 8;
    throw Failure{status.code() == kResourceExhausted ? LEADSMAN_RESOURCE_EXHAUSTED
                                                      : LEADSMAN_INVALID_ARGUMENT,
                  "TensorFlow refuses " + std::string(spec.model_file) + ": " + status.text()};
  }
  MetaGraph read;
  if (!ReadMetaGraph({static_cast<const char*>(meta_graph->data), meta_graph->length}, read)) {
    throw Failure{LEADSMAN_INVALID_ARGUMENT, "the SavedModel's signatures cannot be read"};
  }
  // TensorFlow would load it without a word, and fail at the first request.
  std::error_code error;
  if (read.has_variables &&
      !std::filesystem::is_regular_file(folder + "/variables/variables.index", error)) {
    throw Failure{LEADSMAN_INVALID_ARGUMENT,
                  "the SavedModel has variables, but variables/variables.index is missing: is the "
                  "copy complete?"};
  }
  AddSignatures(host, std::move(read.signatures));
}

void Model::AddSignatures(const leadsman_host& host, std::vector<SignatureDef> definitions) {
  std::stable_partition(definitions.begin(), definitions.end(),
                        [](const SignatureDef& d) { return d.name == kDefaultSignature; });
  std::string reasons;
  for (const SignatureDef& definition : definitions) {
    // What TensorFlow runs itself while loading.
    if (definition.name.starts_with("__saved_model")) continue;
    std::string why = Add(definition);
    if (why.empty()) continue;
    why.insert(0, "\" cannot be served: ").insert(0, definition.name).insert(0, "signature \"");
    host.log(host.self, LEADSMAN_LOG_WARN, why.c_str());
    reasons.append("; ").append(why);
  }
  if (routes_.empty()) {
    throw Failure{reasons.empty() ? LEADSMAN_INVALID_ARGUMENT : LEADSMAN_UNIMPLEMENTED,
                  "the SavedModel has no signature to serve" +
                      (reasons.empty() ? "; give some when saving: tf.saved_model.save(model, "
                                         "folder, signatures=…) or model.export(folder)"
                                       : reasons)};
  }
}

std::string Model::Add(const SignatureDef& definition) {
  Route route;
  std::string why;
  auto convert = [&](const std::vector<TensorDef>& from, const char* what,
                     std::vector<TF_Output>& places) {
    std::vector<TensorInfo> infos;
    for (const TensorDef& tensor : from) {
      const std::string which = std::string(what) + " \"" + tensor.key + "\"";
      const leadsman_dtype dtype = FromTensorFlow(tensor.dtype);
      const TF_Output place =
          tensor.tensor.empty() ? TF_Output{} : Find(api_, graph_.get(), tensor.tensor);
      if (tensor.tensor.empty()) {
        why = which + " is a sparse or composite tensor";
      } else if (dtype == LEADSMAN_INVALID) {
        why = which + " is of TensorFlow's type number " + std::to_string(tensor.dtype) +
              ", which has no tensor form here";
      } else if (tensor.dims.size() > LEADSMAN_MAX_RANK) {
        why = which + " has more than eight dimensions";
      } else if (place.oper == nullptr) {
        why = which + " names \"" + tensor.tensor + "\", which the graph lacks";
      }
      infos.push_back({tensor.key, dtype, tensor.dims, tensor.any_rank, false});
      places.push_back(place);
    }
    return infos;
  };
  std::vector<TensorInfo> inputs = convert(definition.inputs, "input", route.inputs);
  std::vector<TensorInfo> outputs = convert(definition.outputs, "output", route.outputs);
  if (why.empty() && outputs.empty()) why = "it has no outputs";
  if (!why.empty()) return why;
  signatures_.Add(definition.name, definition.method.empty() ? kPredict : definition.method,
                  std::move(inputs), std::move(outputs));
  routes_.push_back(std::move(route));
  return {};
}

}  // namespace leadsman_tensorflow
