#include "rpc/tfs_examples.h"

#include "base/strings.h"
#include "base/wire.h"

namespace leadsman::rpc {
namespace {

constexpr size_t kMaxTasks = 100;

Status Malformed(std::string_view what) {
  return InvalidArgumentError(StrCat("malformed protocol buffer message: ", what));
}

void AppendClasses(WireWriter& out, const std::vector<std::vector<tfserving::ClassScore>>& rows) {
  for (const auto& row : rows) {
    out.Message(1, [&](WireWriter& classifications) {
      for (const tfserving::ClassScore& one : row) {
        classifications.Message(1, [&](WireWriter& entry) {
          // A model's own bytes: an answer that is not UTF-8 would not be read at all.
          if (IsUtf8(one.label)) entry.Text(1, one.label);
          entry.Float(2, one.score);
        });
      }
    });
  }
}

void AppendValues(WireWriter& out, const std::vector<float>& values) {
  for (float value : values) {
    out.Message(1, [&](WireWriter& regression) { regression.Float(1, value); });
  }
}

}  // namespace

Status ExamplesCodec::Parse(Kind kind, std::string_view message, size_t limit, SpecName name) {
  kind_ = kind;
  limit_ = limit;
  tasks_.clear();
  batch_.Clear();
  results_.clear();
  version_ = 0;
  std::string_view spec, input;
  WireReader in(message);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) {
      if (kind == Kind::kMulti) {
        RETURN_IF_ERROR(ParseTask(in.bytes(), name));
      } else {
        spec = in.bytes();
      }
    }
    if (in.Is(2, WireReader::kBytes)) input = in.bytes();
  }
  if (!in.ok()) return Malformed("the request");
  if (kind != Kind::kMulti) {
    Task& task = tasks_.emplace_back();
    task.method =
        kind == Kind::kRegress ? tfserving::Method::kRegress : tfserving::Method::kClassify;
    RETURN_IF_ERROR(task.spec.Parse(spec, name));
  }
  RETURN_IF_ERROR(CheckTasks());
  return ParseInput(input);
}

Status ExamplesCodec::ParseTask(std::string_view bytes, SpecName name) {
  if (tasks_.size() == kMaxTasks) {
    return InvalidArgumentError(StrCat("'tasks' has more than ", kMaxTasks, " entries"));
  }
  Task& task = tasks_.emplace_back();
  std::string_view spec, method;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) spec = in.bytes();
    if (in.Is(2, WireReader::kBytes)) method = in.bytes();
  }
  if (!in.ok()) return Malformed("'tasks'");
  RETURN_IF_ERROR(task.spec.Parse(spec, name));
  for (tfserving::Method known : {tfserving::Method::kClassify, tfserving::Method::kRegress}) {
    if (method != tfserving::MethodName(known)) continue;
    task.method = known;
    return OkStatus();
  }
  return UnimplementedError(StrCat("Unsupported signature method_name: ", CutUtf8(method, 64),
                                   "; a task of MultiInference is ",
                                   tfserving::MethodName(tfserving::Method::kClassify), " or ",
                                   tfserving::MethodName(tfserving::Method::kRegress)));
}

Status ExamplesCodec::CheckTasks() const {
  if (tasks_.empty())
    return InvalidArgumentError("Inference request must contain at least one task");
  for (size_t i = 1; i < tasks_.size(); ++i) {
    const ModelSpec& spec = tasks_[i].spec;
    const ModelSpec& first = tasks_[0].spec;
    if (spec.selector.model != first.selector.model) {
      return InvalidArgumentError(StrCat(
          "All ModelSpecs in a MultiInferenceRequest must access the same model name; tasks[", i,
          "] has another than tasks[0]"));
    }
    for (size_t before = 0; before < i; ++before) {
      if (tasks_[before].spec.signature_name != spec.signature_name) continue;
      return InvalidArgumentError(
          StrCat("Duplicate evaluation of signature: ", CutUtf8(spec.signature_name, 64)));
    }
  }
  return OkStatus();
}

Status ExamplesCodec::ParseInput(std::string_view bytes) {
  // Input{example_list = 1, example_list_with_context = 2}; both have their examples at 1.
  std::string_view list;
  WireReader kind(bytes);
  while (kind.Next()) {
    if (kind.Is(1, WireReader::kBytes) || kind.Is(2, WireReader::kBytes)) list = kind.bytes();
  }
  if (!kind.ok()) return Malformed("'input'");
  tfserving::ExampleRoom room(tfserving::kExampleMemory * limit_);
  auto failed = [&](Status why, std::string_view where) {
    return room.exceeded() ? tfserving::TooMuchMemory(limit_) : Annotate(std::move(why), where);
  };
  WireReader in(list);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) {
      Status parsed = tfserving::ParseExample(in.bytes(), room, batch_.examples.emplace_back());
      if (!parsed.ok())
        return failed(std::move(parsed),
                      StrCat("input.examples[", batch_.examples.size() - 1, "]"));
    }
    if (in.Is(2, WireReader::kBytes)) {
      Status parsed = tfserving::ParseExample(in.bytes(), room, batch_.context);
      if (!parsed.ok()) return failed(std::move(parsed), "input.context");
    }
  }
  if (!in.ok()) return Malformed("'input'");
  if (!batch_.examples.empty()) return OkStatus();
  return InvalidArgumentError("Input is empty: 'input' must have at least one example");
}

ModelSelector ExamplesCodec::selector(size_t task) const {
  ModelSelector selector = tasks_[task].spec.selector;
  // A rollout's draw must not spread the tasks of one request over two versions.
  if (task > 0 && !selector.version && selector.label.empty()) selector.version = version_;
  return selector;
}

Status ExamplesCodec::Decode(size_t task, PredictionCall& call) {
  version_ = call.version();
  const auto signatures = call.handle->model->signatures();
  ASSIGN_OR_RETURN(call.signature,
                   tfserving::SelectSignature(signatures, tasks_[task].spec.signature_name,
                                              tasks_[task].method));
  return tfserving::ExamplesToInputs(batch_, signatures[call.signature].signature, limit_, call);
}

Status ExamplesCodec::EncodeTask(size_t task, const PredictionCall& call) {
  const NamedSignature& signature = call.handle->model->signatures()[call.signature];
  WireWriter out(results_);
  const bool classify = tasks_[task].method == tfserving::Method::kClassify;
  std::vector<std::vector<tfserving::ClassScore>> classes;
  std::vector<float> values;
  if (classify) {
    ASSIGN_OR_RETURN(classes, tfserving::ReadClasses(signature, call.outputs, call.rows));
  } else {
    ASSIGN_OR_RETURN(values, tfserving::ReadValues(signature, call.outputs, call.rows));
  }
  auto append = [&](WireWriter& result) {
    if (classify) {
      AppendClasses(result, classes);
    } else {
      AppendValues(result, values);
    }
  };
  if (kind_ != Kind::kMulti) {
    out.Message(1, append);
    AppendModelSpec(out, 2, call.model_name, call.version(), signature.name);
    return OkStatus();
  }
  out.Message(1, [&](WireWriter& result) {
    AppendModelSpec(result, 1, call.model_name, call.version(), signature.name);
    result.Message(classify ? 2 : 3, append);
  });
  return OkStatus();
}

void ExamplesCodec::Encode(std::string& out) const { out += results_; }

}  // namespace leadsman::rpc
