#include "storage/triton_config.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/strings.h"
#include "base/text_proto.h"
#include "storage/triton_config.pb.h"

namespace leadsman {
namespace {

namespace pb = triton::file;

using std::chrono::microseconds;

constexpr uint64_t kLongestDelay = 10'000'000;
constexpr uint64_t kLongestTimeout = 86'400'000'000;
constexpr int kMostInstances = 256;
constexpr size_t kMostWarmups = 100;
constexpr int64_t kMostWarmupElements = int64_t{1} << 24;
constexpr uint32_t kMostWarmupRequests = 10'000;
constexpr uint64_t kMostLevels = 16;
constexpr size_t kMaxRank = Shape::kMaxRank - 1;  // the batch dimension comes before them

const std::map<std::string, std::string, std::less<>> kBackends = {
    {"onnxruntime", "onnx"}, {"tensorflow", "tensorflow"}, {"python", "python"},
    {"xgboost", "xgboost"},  {"lightgbm", "lightgbm"},     {"fil", ""}};
const std::map<std::string, std::string, std::less<>> kPlatforms = {
    {"onnxruntime_onnx", "onnx"}, {"tensorflow_savedmodel", "tensorflow"}};

std::vector<std::string> NamesOf(const std::map<std::string, std::string, std::less<>>& table) {
  std::vector<std::string> names;
  for (const auto& [name, format] : table) names.push_back(name);
  return names;
}

/// The lines of a file of labels; the empty ones at its end are none.
std::vector<std::string> LinesOf(std::string_view text) {
  std::vector<std::string> lines;
  for (std::string_view line : Split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

/// How many elements stand between a shape's dimensions of any length: [2,4,-1,6] → 8, 6. Empty when they are too many.
std::vector<int64_t> ElementsBetweenOpen(const Shape& shape) {
  std::vector<int64_t> counts = {1};
  for (int64_t dim : shape.dims()) {
    if (dim < 0) {
      counts.push_back(1);
    } else if (__builtin_mul_overflow(counts.back(), dim, &counts.back())) {
      return {};
    }
  }
  return counts;
}

bool IsInside(const std::string& file) {
  const std::filesystem::path path = std::filesystem::path(file).lexically_normal();
  return !file.empty() && path.is_relative() && !path.string().starts_with("..");
}

/// One file on its way into plain words.
class Translation {
 public:
  Translation(const pb::ModelConfig& from, const ReadBesideConfig& read, TextProto& text,
              TritonConfig& to)
      : from_(from), read_(read), text_(text), to_(to) {}

  void Run() {
    to_.name = from_.name();
    to_.platform = from_.platform();
    to_.backend = from_.backend();
    to_.max_batch_size = from_.max_batch_size();
    for (const auto& [key, value] : from_.parameters()) to_.parameters[key] = value.string_value();
    Format();
    Files();
    Versions();
    Tensors();
    Instances();
    Batching();
    Warmup();
    Refused();
    WithoutEffect();
  }

 private:
  void Warn(std::string_view what, std::string_view why) {
    to_.warnings.push_back(StrCat(kTritonConfigName, ": ", what, " does nothing: ", why));
  }

  void Format() {
    if (!from_.backend().empty()) {
      auto it = kBackends.find(from_.backend());
      if (it == kBackends.end()) {
        text_.Add("backend",
                  StrCat("the backend ", from_.backend(), " is not supported; there are ",
                         HumanList(NamesOf(kBackends))));
        return;
      }
      to_.format = it->second;
      if (from_.backend() == "fil") FormatOfForest();
    } else if (!from_.platform().empty()) {
      auto it = kPlatforms.find(from_.platform());
      if (it == kPlatforms.end()) {
        text_.Add("platform",
                  StrCat("the platform ", from_.platform(), " is not supported; there are ",
                         HumanList(NamesOf(kPlatforms))));
        return;
      }
      to_.format = it->second;
    }
  }

  void FormatOfForest() {
    auto type = to_.parameters.find("model_type");
    const std::string value = type == to_.parameters.end() ? "" : type->second;
    if (value.starts_with("xgboost") || value == "lightgbm") {
      to_.format = value == "lightgbm" ? value : "xgboost";
    } else if (!value.empty()) {
      text_.Add("parameters", StrCat("model_type ", value,
                                     " of the backend fil is not supported; "
                                     "there are xgboost, xgboost_json, xgboost_ubj and lightgbm"));
    }
  }

  void Files() {
    auto read = [&](const char* field, const std::string& file) {
      if (!IsInside(file)) text_.Add(field, StrCat(file, " must lie in the version's folder"));
      return file;
    };
    if (!from_.default_model_filename().empty()) {
      to_.default_model_filename = read("default_model_filename", from_.default_model_filename());
    }
    for (const auto& [capability, file] : from_.cc_model_filenames())
      to_.cc_model_filenames[capability] = read("cc_model_filenames", file);
  }

  void Versions() {
    using Kind = TritonConfig::Versions::Kind;
    const pb::ModelVersionPolicy& policy = from_.version_policy();
    TritonConfig::Versions& to = to_.versions;
    switch (policy.policy_choice_case()) {
      case pb::ModelVersionPolicy::kLatest:
        to.kind = Kind::kLatest;
        to.latest = static_cast<int>(std::clamp<uint32_t>(policy.latest().num_versions(), 1, 1000));
        break;
      case pb::ModelVersionPolicy::kAll:
        to.kind = Kind::kAll;
        break;
      case pb::ModelVersionPolicy::kSpecific:
        to.kind = Kind::kSpecific;
        to.specific = {policy.specific().versions().begin(), policy.specific().versions().end()};
        if (to.specific.empty() || *std::min_element(to.specific.begin(), to.specific.end()) < 1)
          text_.Add("version_policy.specific", "needs versions, each from 1 on");
        break;
      case pb::ModelVersionPolicy::POLICY_CHOICE_NOT_SET:
        break;
    }
  }

  template <typename Dims>
  Shape ReadShape(const Dims& dims, const std::string& path) {
    Shape shape;
    for (int64_t dim : dims) {
      if (dim < 1 && dim != -1) {
        text_.Add(path, StrCat("must be lengths from 1 on, or -1 for any, not ", dim));
        return shape;
      }
      if (shape.rank() == kMaxRank) {
        text_.Add(path, StrCat("must be ", kMaxRank, " dimensions at most"));
        return shape;
      }
      shape.Append(dim);
    }
    return shape;
  }

  template <typename Tensor>
  void Reshape(const Tensor& from, const std::string& path, TritonConfig::Tensor& to) {
    if (!from.has_reshape()) return;
    to.reshape = ReadShape(from.reshape().shape(), path + ".reshape.shape");
    std::vector<int64_t> outside = ElementsBetweenOpen(to.dims);
    if (outside.empty() || outside != ElementsBetweenOpen(*to.reshape)) {
      text_.Add(path + ".reshape",
                StrCat("must hold as many elements as dims, and as many -1: ",
                       to.reshape->ToString(), " does not fit ", to.dims.ToString()));
    }
  }

  template <typename Tensor>
  TritonConfig::Tensor ReadTensor(const Tensor& from, const std::string& path) {
    TritonConfig::Tensor to;
    to.name = from.name();
    to.type = static_cast<DataType>(from.data_type());  // which have the same numbers
    if (to.name.empty()) text_.Add(path + ".name", "must not be empty");
    if (to.type == DataType::kInvalid || to.type > DataType::kBf16)
      text_.Add(path + ".data_type", "must be one of TYPE_FP32, TYPE_INT64, TYPE_STRING, …");
    if (from.is_shape_tensor())
      text_.Add(path + ".is_shape_tensor", "shape tensors are TensorRT's and not supported");
    if (from.dims().empty())
      text_.Add(path + ".dims", "must not be empty; a single value per row is [ 1 ]");
    to.dims = ReadShape(from.dims(), path + ".dims");
    Reshape(from, path, to);
    return to;
  }

  void Tensors() {
    if (from_.max_batch_size() < 0)
      text_.Add("max_batch_size", "must be 0 (no batch dimension) or the largest number of rows");
    for (int i = 0; i < from_.input_size(); ++i) {
      std::string path = StrCat("input[", i, "]");
      to_.inputs.push_back(ReadTensor(from_.input(i), path));
      to_.inputs.back().optional = from_.input(i).optional();
      if (from_.input(i).allow_ragged_batch())
        Warn(path + ".allow_ragged_batch", "set batching.pad_ragged to let lengths share a batch");
    }
    for (int i = 0; i < from_.output_size(); ++i) {
      std::string path = StrCat("output[", i, "]");
      to_.outputs.push_back(ReadTensor(from_.output(i), path));
      Labels(from_.output(i).label_filename(), path + ".label_filename", to_.outputs.back());
    }
    NamedOnce("input", to_.inputs);
    NamedOnce("output", to_.outputs);
  }

  void NamedOnce(const char* what, const std::vector<TritonConfig::Tensor>& tensors) {
    for (size_t i = 1; i < tensors.size(); ++i) {
      bool again = std::any_of(tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(i),
                               [&](const auto& other) { return other.name == tensors[i].name; });
      if (again)
        text_.Add(StrCat(what, "[", i, "].name"), StrCat(tensors[i].name, " is there already"));
    }
  }

  void Labels(const std::string& file, const std::string& path, TritonConfig::Tensor& to) {
    if (file.empty()) return;
    if (!IsInside(file)) {
      text_.Add(path, StrCat(file, " must lie in the model's folder"));
      return;
    }
    if (!read_) return;
    Result<std::string> lines = read_(std::filesystem::path(file).lexically_normal().string());
    if (!lines.ok()) {
      text_.Add(path, StrCat(file, " cannot be read: ", lines.status().message()));
      return;
    }
    to.label_filename = file;
    to.labels = LinesOf(*lines);
  }

  void Instances() {
    int count = 0;
    for (int i = 0; i < from_.instance_group_size(); ++i) {
      const pb::ModelInstanceGroup& group = from_.instance_group(i);
      std::string path = StrCat("instance_group[", i, "]");
      if (group.count() < 0 || group.count() > kMostInstances)
        text_.Add(path + ".count",
                  StrCat("must be from 1 to ", kMostInstances, ", not ", group.count()));
      if (group.kind() == pb::ModelInstanceGroup::KIND_GPU)
        Warn(path + ".kind: KIND_GPU", "models run on CPUs here");
      count = std::min(kMostInstances, count + std::clamp(group.count(), 1, kMostInstances));
    }
    to_.instances = count;
  }

  static TritonConfig::Queue ReadQueue(const pb::ModelQueuePolicy& from) {
    return {.delay_when_late = from.timeout_action() == pb::ModelQueuePolicy::DELAY,
            .default_timeout =
                microseconds(std::min(from.default_timeout_microseconds(), kLongestTimeout)),
            .allow_timeout_override = from.allow_timeout_override(),
            .max_size = from.max_queue_size()};
  }

  void Batching() {
    if (!from_.has_dynamic_batching()) return;
    const pb::ModelDynamicBatching& from = from_.dynamic_batching();
    if (from_.max_batch_size() < 1) {
      text_.Add("dynamic_batching", "needs max_batch_size: the largest number of rows in a batch");
      return;
    }
    to_.dynamic_batching = TritonConfig::DynamicBatching();
    TritonConfig::DynamicBatching& to = *to_.dynamic_batching;
    to.max_delay = microseconds(std::min(from.max_queue_delay_microseconds(), kLongestDelay));
    PreferredSizes(from, to);
    if (from.has_default_queue_policy()) to.queue = ReadQueue(from.default_queue_policy());
    Priorities(from, to);
    if (from.preserve_ordering())
      Warn("dynamic_batching.preserve_ordering", "answers of one connection are in order anyway");
  }

  void PreferredSizes(const pb::ModelDynamicBatching& from, TritonConfig::DynamicBatching& to) {
    for (int i = 0; i < from.preferred_batch_size_size(); ++i) {
      int size = from.preferred_batch_size(i);
      if (size < 1 || size > from_.max_batch_size()) {
        text_.Add(
            StrCat("dynamic_batching.preferred_batch_size[", i, "]"),
            StrCat("must be from 1 to max_batch_size (", from_.max_batch_size(), "), not ", size));
      } else {
        to.preferred_sizes.push_back(static_cast<uint32_t>(size));
      }
    }
    std::sort(to.preferred_sizes.begin(), to.preferred_sizes.end());
    to.preferred_sizes.erase(std::unique(to.preferred_sizes.begin(), to.preferred_sizes.end()),
                             to.preferred_sizes.end());
  }

  void Priorities(const pb::ModelDynamicBatching& from, TritonConfig::DynamicBatching& to) {
    const uint64_t levels = from.priority_levels();
    if (levels > kMostLevels) {
      text_.Add("dynamic_batching.priority_levels", StrCat("must be ", kMostLevels, " at most"));
      return;
    }
    to.priority_levels = static_cast<uint32_t>(levels);
    if (levels > 0) {
      if (from.default_priority_level() < 1 || from.default_priority_level() > levels) {
        text_.Add("dynamic_batching.default_priority_level",
                  StrCat("must be from 1 to priority_levels (", levels, ")"));
      } else {
        to.default_level = static_cast<uint32_t>(from.default_priority_level());
      }
    }
    for (const auto& [level, policy] : from.priority_queue_policy()) {
      if (level < 1 || level > levels) {
        text_.Add("dynamic_batching.priority_queue_policy",
                  StrCat("level ", level, " is not from 1 to priority_levels (", levels, ")"));
        continue;
      }
      to.level_queues[static_cast<uint32_t>(level)] = ReadQueue(policy);
    }
  }

  void Warmup() {
    uint32_t count = 0;
    for (int i = 0; i < from_.model_warmup_size(); ++i) {
      const pb::ModelWarmup& from = from_.model_warmup(i);
      count = std::max({count, from.count(), 1u});
      if (from.inputs().empty()) continue;
      if (to_.warmups.size() >= kMostWarmups) {
        text_.Add(StrCat("model_warmup[", i, "]"), StrCat("must be ", kMostWarmups, " at most"));
        break;
      }
      to_.warmups.push_back(ReadWarmup(from, StrCat("model_warmup[", i, "]")));
    }
    to_.warmup_requests = static_cast<int>(std::min(count, kMostWarmupRequests));
  }

  TritonConfig::Warmup ReadWarmup(const pb::ModelWarmup& from, const std::string& path) {
    TritonConfig::Warmup to;
    to.name = from.name();
    to.count = static_cast<int>(std::clamp<uint32_t>(from.count(), 1, kMostWarmupRequests));
    const int64_t most = std::max<int64_t>(from_.max_batch_size(), 1);
    if (from.batch_size() > most) {
      text_.Add(path + ".batch_size",
                StrCat("must be from 1 to ", most, ", not ", from.batch_size()));
    }
    for (const auto& [name, input] : from.inputs()) {
      TritonConfig::Warmup::Input& in = to.inputs.emplace_back();
      in.name = name;
      const std::string at = StrCat(path, ".inputs: ", name);
      ReadWarmupInput(input, at, in);
      if (from_.max_batch_size() < 1) continue;
      in.rows = std::clamp<int64_t>(from.batch_size(), 1, most);
      Shape rows = {in.rows};
      for (int64_t dim : in.dims.dims()) rows.Append(dim);
      in.dims = rows;
      if (rows.ElementCount().value_or(kMostWarmupElements + 1) > kMostWarmupElements)
        text_.Add(at, StrCat("must be at most ", kMostWarmupElements, " elements in all rows"));
    }
    // A map has no order: the same file is the same configuration.
    std::sort(to.inputs.begin(), to.inputs.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return to;
  }

  void ReadWarmupInput(const pb::ModelWarmup::Input& from, const std::string& at,
                       TritonConfig::Warmup::Input& to) {
    using Data = TritonConfig::Warmup::Input::Data;
    to.type = static_cast<DataType>(from.data_type());
    if (to.type == DataType::kInvalid || to.type > DataType::kBf16)
      text_.Add(at, "data_type must be one of TYPE_FP32, TYPE_INT64, TYPE_STRING, …");
    to.dims = ReadShape(from.dims(), at);
    const std::optional<int64_t> elements = to.dims.ElementCount();
    if (!elements || *elements < 1 || *elements > kMostWarmupElements) {
      text_.Add(at, StrCat("dims must be those of one request, without -1, and at most ",
                           kMostWarmupElements, " elements"));
      to.dims = {1};
      return;
    }
    if (from.input_data_type_case() == pb::ModelWarmup::Input::kRandomData) to.data = Data::kRandom;
    if (from.input_data_type_case() != pb::ModelWarmup::Input::kInputDataFile) return;
    to.data = Data::kFile;
    if (!IsInside(from.input_data_file())) {
      text_.Add(at, StrCat(from.input_data_file(), " must lie in the model's folder warmup"));
      return;
    }
    if (!read_) return;
    const std::string file =
        std::filesystem::path("warmup/" + from.input_data_file()).lexically_normal().string();
    Result<std::string> content = read_(file);
    if (!content.ok()) {
      text_.Add(at, StrCat(file, " cannot be read: ", content.status().message()));
      return;
    }
    to.content = std::move(content).value();
    if (to.type == DataType::kBytes || to.type == DataType::kInvalid)
      return;  // as long as its texts are
    const auto wanted = static_cast<size_t>(*elements) * ElementSize(to.type);
    if (to.content.size() != wanted) {
      text_.Add(at, StrCat(file, " has ", to.content.size(), " bytes, ", DataTypeName(to.type),
                           to.dims.ToString(), " takes ", wanted));
    }
  }

  void Refused() {
    auto refuse = [&](bool there, const char* block, const char* why) {
      if (there) text_.Add(block, why);
    };
    refuse(from_.has_ensemble_scheduling(), "ensemble_scheduling",
           "ensembles are not supported: put the steps into one model, or call them one by one");
    refuse(from_.has_sequence_batching(), "sequence_batching",
           "models with a state between requests are not supported");
    refuse(from_.has_model_operations(), "model_operations",
           "libraries of custom operators are not loaded");
    refuse(from_.has_model_repository_agents(), "model_repository_agents",
           "agents are not supported; checksums of a version's files go into its manifest.json");
    refuse(from_.batch_input_size() > 0, "batch_input", "is not supported");
    refuse(from_.batch_output_size() > 0, "batch_output", "is not supported");
    refuse(from_.model_transaction_policy().decoupled(), "model_transaction_policy",
           "decoupled models (several answers, or none, to one request) are not supported");
  }

  void WithoutEffect() {
    if (from_.has_optimization()) Warn("optimization", "runtimes are set by runtime_options");
    if (from_.response_cache().enable()) Warn("response_cache", "answers are not cached");
    if (from_.has_model_metrics()) Warn("model_metrics", "buckets are the same for all models");
    if (!from_.metric_tags().empty()) Warn("metric_tags", "labels are model and version");
    if (!from_.runtime().empty()) Warn("runtime", "each backend has one runtime");
  }

  const pb::ModelConfig& from_;
  const ReadBesideConfig& read_;
  TextProto& text_;
  TritonConfig& to_;
};

constexpr const char* kNotRead = "leadsman.triton.file.NotRead";

Result<TritonConfig> Translated(const pb::ModelConfig& message, const ReadBesideConfig& read,
                                TextProto& parser) {
  TritonConfig config;
  Translation(message, read, parser, config).Run();
  RETURN_IF_ERROR(parser.status());
  return config;
}

}  // namespace

Result<TritonConfig> ParseTritonConfig(std::string_view text, const ReadBesideConfig& read) {
  TextProto parser;
  parser.PassOver(kNotRead);
  pb::ModelConfig message;
  RETURN_IF_ERROR(parser.Parse(kTritonConfigName, text, message));
  return Translated(message, read, parser);
}

Result<TritonConfig> ParseTritonConfigJson(std::string_view json, const ReadBesideConfig& read) {
  TextProto parser;
  parser.PassOver(kNotRead);
  pb::ModelConfig message;
  RETURN_IF_ERROR(parser.ParseJson("", json, message));
  return Translated(message, read, parser);
}

}  // namespace leadsman
