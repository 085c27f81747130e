#include "lifecycle/triton_model.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "lifecycle/triton_parameters.h"

namespace leadsman {
namespace {

std::string Describe(DataType type, const Shape& shape) {
  return StrCat(DataTypeName(type), shape.ToString());
}

Shape WithBatch(bool batched, const Shape& dims) {
  Shape shape;
  if (batched) shape.Append(-1);
  for (int64_t dim : dims.dims()) shape.Append(dim);
  return shape;
}

/// One shape in the place of another with as many elements: each open dimension of the one is the open dimension of the
/// other that has its place among them.
struct ShapeChange {
  Shape from;
  Shape to;

  /// `shape`, which is one of `from`, as it is on the other side. Nothing when it is none of `from`.
  std::optional<Shape> Apply(const Shape& shape) const {
    if (shape.rank() != from.rank()) return std::nullopt;
    Shape open;
    for (size_t i = 0; i < shape.rank(); ++i) {
      if (from[i] < 0) {
        open.Append(shape[i]);
      } else if (from[i] != shape[i]) {
        return std::nullopt;
      }
    }
    Shape changed;
    size_t next = 0;
    for (int64_t dim : to.dims()) changed.Append(dim < 0 ? open[next++] : dim);
    return changed;
  }
};

/// What stands between the model's tensors and those that clients see.
struct TensorChanges {
  std::vector<std::pair<std::string, ShapeChange>> inputs;  ///< by name: optional ones may be away
  struct Output {
    size_t index = 0;  ///< among the model's own
    std::optional<ShapeChange> shape;
    bool narrowed = false;  ///< FP64 in the model, FP32 for clients
  };
  std::vector<Output> outputs;
  bool outputs_differ = false;
};

class ChangedContext final : public ExecutionContext {
 public:
  ChangedContext(std::unique_ptr<ExecutionContext> context, const TensorChanges& changes)
      : context_(std::move(context)), changes_(changes), narrowed_(changes.outputs.size()) {}

  Result<std::span<const TensorView>> Execute(std::span<const TensorView> inputs) override {
    RETURN_IF_ERROR(TakeInputs(inputs));
    return GiveOutputs(context_->Execute(inputs_));
  }
  Result<std::span<const TensorView>> ExecuteBefore(SteadyTime deadline,
                                                    std::span<const TensorView> inputs) override {
    RETURN_IF_ERROR(TakeInputs(inputs));
    return GiveOutputs(context_->ExecuteBefore(deadline, inputs_));
  }

 private:
  Status TakeInputs(std::span<const TensorView> inputs) {
    inputs_.assign(inputs.begin(), inputs.end());
    for (const auto& [name, change] : changes_.inputs) {
      auto input = std::find_if(inputs_.begin(), inputs_.end(),
                                [&](const TensorView& view) { return view.name == name; });
      if (input == inputs_.end()) continue;
      std::optional<Shape> shape = change.Apply(input->shape);
      if (!shape) {
        return InvalidArgumentError(StrCat("input \"", name, "\": expected the shape ",
                                           change.from.ToString(), ", got ",
                                           input->shape.ToString()));
      }
      input->shape = *shape;
    }
    return OkStatus();
  }

  Result<std::span<const TensorView>> GiveOutputs(Result<std::span<const TensorView>> given) {
    if (!given.ok() || !changes_.outputs_differ) return given;
    outputs_.clear();
    for (size_t i = 0; i < changes_.outputs.size(); ++i) {
      const TensorChanges::Output& change = changes_.outputs[i];
      if (change.index >= given->size())
        return InternalError("the model gave fewer outputs than its signature says");
      TensorView& output = outputs_.emplace_back((*given)[change.index]);
      if (change.shape) {
        std::optional<Shape> shape = change.shape->Apply(output.shape);
        if (!shape) {
          return InternalError(StrCat("the model gave the output ", output.name, " as ",
                                      output.shape.ToString(), ", ", kTritonConfigName, " says ",
                                      change.shape->from.ToString()));
        }
        output.shape = *shape;
      }
      if (change.narrowed && output.type == DataType::kFp64) Narrow(output, narrowed_[i]);
    }
    return std::span<const TensorView>(outputs_);
  }

  static void Narrow(TensorView& output, std::vector<float>& values) {
    values.resize(static_cast<size_t>(output.element_count));
    std::transform(output.as<double>().begin(), output.as<double>().end(), values.begin(),
                   [](double value) { return static_cast<float>(value); });
    output.type = DataType::kFp32;
    output.data = values.data();
  }

  const std::unique_ptr<ExecutionContext> context_;
  const TensorChanges& changes_;
  std::vector<TensorView> inputs_;
  std::vector<TensorView> outputs_;
  std::vector<std::vector<float>> narrowed_;  ///< by output
};

class TritonModel final : public LoadedModel {
 public:
  /// `shown` has the model's signatures, but with the one at `first` and the front one in each other's place.
  TritonModel(std::vector<NamedSignature> shown, size_t first, std::unique_ptr<LoadedModel> model,
              TensorChanges changes)
      : LoadedModel(std::move(shown)),
        first_(first),
        model_(std::move(model)),
        changes_(std::move(changes)) {}

  Result<std::unique_ptr<ExecutionContext>> NewContext(size_t signature) override {
    const size_t own = signature == 0 ? first_ : signature == first_ ? 0 : signature;
    ASSIGN_OR_RETURN(std::unique_ptr<ExecutionContext> context, model_->NewContext(own));
    bool as_it_is = signature > 0 || (changes_.inputs.empty() && !changes_.outputs_differ);
    if (as_it_is) return context;
    return std::unique_ptr<ExecutionContext>(new ChangedContext(std::move(context), changes_));
  }
  bool waits() const override { return model_->waits(); }
  int concurrency() const override { return model_->concurrency(); }
  std::string note() const override { return model_->note(); }
  int64_t outside_memory_bytes() const override { return model_->outside_memory_bytes(); }

 private:
  const size_t first_;
  const std::unique_ptr<LoadedModel> model_;
  const TensorChanges changes_;
};

/// Compares, tensor by tensor, and writes down what has to be changed.
class Comparison {
 public:
  explicit Comparison(const TritonConfig& config)
      : config_(config), batched_(config.max_batch_size > 0) {}

  Status Run(Signature& signature) {
    RETURN_IF_ERROR(Inputs(signature.inputs));
    return Outputs(signature.outputs);
  }
  TensorChanges changes() && { return std::move(changes_); }

 private:
  Status Inputs(std::vector<TensorSpec>& specs) {
    RETURN_IF_ERROR(AllThere("input", config_.inputs, specs));
    for (TensorSpec& spec : specs) {
      const TritonConfig::Tensor* said = Find(config_.inputs, spec.name);
      if (said == nullptr && !config_.inputs.empty() && !spec.optional) {
        return InvalidArgumentError(StrCat("the model needs the input ", spec.name, " (",
                                           Describe(spec.type, spec.shape), "), which ",
                                           kTritonConfigName, " does not name"));
      }
      std::optional<ShapeChange> change;
      RETURN_IF_ERROR(Compare("input", said, spec, change));
      if (change) changes_.inputs.emplace_back(spec.name, *change);
    }
    return OkStatus();
  }

  Status Outputs(std::vector<TensorSpec>& specs) {
    RETURN_IF_ERROR(AllThere("output", config_.outputs, specs));
    std::vector<TensorSpec> shown;
    for (size_t i = 0; i < specs.size(); ++i) {
      const TritonConfig::Tensor* said = Find(config_.outputs, specs[i].name);
      if (said == nullptr && !config_.outputs.empty()) continue;
      TensorChanges::Output output{.index = i};
      // The forest backend answers FP32, whatever the library of the trees does.
      output.narrowed = said != nullptr && config_.backend == "fil" &&
                        said->type == DataType::kFp32 && specs[i].type == DataType::kFp64;
      if (output.narrowed) specs[i].type = DataType::kFp32;
      std::optional<ShapeChange> change;
      RETURN_IF_ERROR(Compare("output", said, specs[i], change));
      if (change) output.shape = ShapeChange{.from = change->to, .to = change->from};
      changes_.outputs_differ = changes_.outputs_differ || output.shape || output.narrowed;
      changes_.outputs.push_back(output);
      shown.push_back(std::move(specs[i]));
    }
    changes_.outputs_differ = changes_.outputs_differ || shown.size() < specs.size();
    specs = std::move(shown);
    return OkStatus();
  }

  static const TritonConfig::Tensor* Find(const std::vector<TritonConfig::Tensor>& tensors,
                                          const std::string& name) {
    for (const TritonConfig::Tensor& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }

  static Status AllThere(const char* what, const std::vector<TritonConfig::Tensor>& said,
                         const std::vector<TensorSpec>& specs) {
    std::vector<std::string> names;
    for (const TensorSpec& spec : specs) names.push_back(spec.name);
    for (const TritonConfig::Tensor& tensor : said) {
      if (std::find(names.begin(), names.end(), tensor.name) != names.end()) continue;
      return InvalidArgumentError(StrCat(kTritonConfigName, " names the ", what, " ", tensor.name,
                                         ", the model has none of that name; it has ",
                                         HumanList(names)));
    }
    return OkStatus();
  }

  /// `spec` becomes what clients see; `change` leads from there to the model. `said` is null when the file says nothing.
  Status Compare(const char* what, const TritonConfig::Tensor* said, TensorSpec& spec,
                 std::optional<ShapeChange>& change) const {
    if (batched_ && !spec.any_rank && (spec.shape.rank() == 0 || spec.shape[0] >= 0)) {
      return InvalidArgumentError(StrCat(
          kTritonConfigName, ": max_batch_size is ", config_.max_batch_size, ", but the model's ",
          what, " ", spec.name, " has no batch dimension: it is ", Describe(spec.type, spec.shape),
          ", whose first dimension is not open; set max_batch_size: 0 and give whole dims"));
    }
    if (said == nullptr) return OkStatus();
    const Shape seen = WithBatch(batched_, said->dims);
    Shape inside = said->reshape ? WithBatch(batched_, *said->reshape) : seen;
    if (said->type != spec.type) return Differs(what, *said, inside, spec);
    if (spec.any_rank) {
      spec.any_rank = false;
      spec.shape = inside;
    }
    if (!said->reshape && IsSingleValue(said->dims) && spec.shape.rank() == (batched_ ? 1u : 0u))
      inside = spec.shape;
    if (inside.rank() != spec.shape.rank()) return Differs(what, *said, inside, spec);
    for (size_t i = 0; i < inside.rank(); ++i) {
      if (spec.shape[i] >= 0 && inside[i] >= 0 && spec.shape[i] != inside[i])
        return Differs(what, *said, inside, spec);
      if (inside[i] < 0) inside[i] = spec.shape[i];
    }
    if (seen.rank() == inside.rank() && !said->reshape) {
      spec.shape = inside;
      return OkStatus();
    }
    // A length that the model alone knows could not be told from the outside.
    const Shape& model_side = said->reshape ? WithBatch(batched_, *said->reshape) : inside;
    change = ShapeChange{.from = seen, .to = model_side};
    spec.shape = seen;
    return OkStatus();
  }

  static bool IsSingleValue(const Shape& dims) {
    return std::all_of(dims.dims().begin(), dims.dims().end(),
                       [](int64_t dim) { return dim == 1; });
  }

  Status Differs(const char* what, const TritonConfig::Tensor& said, const Shape& inside,
                 const TensorSpec& spec) const {
    std::string_view reshaped = said.reshape ? " (after its reshape)" : "";
    std::string_view batch = batched_ ? ", the batch dimension of max_batch_size included" : "";
    return InvalidArgumentError(StrCat(kTritonConfigName, " says that the ", what, " ", said.name,
                                       " is ", Describe(said.type, inside), reshaped, batch,
                                       "; the model's is ", Describe(spec.type, spec.shape)));
  }

  const TritonConfig& config_;
  const bool batched_;
  TensorChanges changes_;
};

std::vector<TensorSpec> SpecsOf(const std::vector<TritonConfig::Tensor>& tensors, bool batched) {
  std::vector<TensorSpec> specs;
  for (const TritonConfig::Tensor& tensor : tensors) {
    specs.push_back({.name = tensor.name,
                     .type = tensor.type,
                     .shape = WithBatch(batched, tensor.reshape.value_or(tensor.dims)),
                     .optional = tensor.optional});
  }
  return specs;
}

}  // namespace

Result<std::unique_ptr<LoadedModel>> AsTritonModel(std::unique_ptr<LoadedModel> model,
                                                   const TritonConfig& config) {
  std::vector<NamedSignature> shown(model->signatures().begin(), model->signatures().end());
  size_t first = 0;
  auto named = config.parameters.find(std::string(kTritonSignatureParameter));
  if (named != config.parameters.end() && config.format == "tensorflow") {
    Result<size_t> found = model->FindSignature(named->second);
    if (!found.ok()) {
      return InvalidArgumentError(StrCat(kTritonConfigName, ": parameters.",
                                         kTritonSignatureParameter, ": ",
                                         found.status().message()));
    }
    first = *found;
    std::swap(shown[0], shown[first]);
  }
  Comparison comparison(config);
  RETURN_IF_ERROR(comparison.Run(shown.front().signature));
  return std::unique_ptr<LoadedModel>(
      new TritonModel(std::move(shown), first, std::move(model), std::move(comparison).changes()));
}

Signature SignatureOf(const TritonConfig& config) {
  if (config.inputs.empty() || config.outputs.empty()) return {};
  const bool batched = config.max_batch_size > 0;
  return {.inputs = SpecsOf(config.inputs, batched), .outputs = SpecsOf(config.outputs, batched)};
}

}  // namespace leadsman
