#include "lifecycle/triton_warmup.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "base/strings.h"

namespace leadsman {
namespace {

using Input = TritonConfig::Warmup::Input;

constexpr size_t kRandomText = 8;

void PushRandom(DataType type, Rng& rng, Tensor& to) {
  const uint64_t bits = rng();
  switch (type) {
    case DataType::kBytes: {
      std::string text;
      for (size_t i = 0; i < kRandomText; ++i)
        text += static_cast<char>('a' + ((bits >> (8 * i)) & 0xff) % 26);
      return to.PushString(text);
    }
    case DataType::kFp64:
      return to.Push(rng.Uniform());
    case DataType::kFp32:
      return to.Push(static_cast<float>(rng.Uniform()) * 0.999F);
    case DataType::kFp16:  // from 0.5 up to 1
      return to.Push(static_cast<uint16_t>(0x3800 | (bits & 0x3ff)));
    case DataType::kBf16:
      return to.Push(static_cast<uint16_t>(0x3f00 | (bits & 0x7f)));
    case DataType::kBool:
      return to.Push(static_cast<uint8_t>(bits & 1));
    default:
      break;
  }
  // Whole numbers are little-endian, whatever their size.
  const uint64_t number = bits % 10;
  std::memcpy(to.Extend(1), &number, ElementSize(type));
}

/// Texts of a file: each with its length before it, in four bytes.
Status PushTexts(std::string_view content, int64_t count, Tensor& to) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t size = 0;
    if (content.size() < sizeof(size))
      return InvalidArgumentError(StrCat("its file ends before text ", i, " of ", count));
    std::memcpy(&size, content.data(), sizeof(size));
    content.remove_prefix(sizeof(size));
    if (content.size() < size)
      return InvalidArgumentError(StrCat("its file ends within text ", i, " of ", count));
    to.PushString(content.substr(0, size));
    content.remove_prefix(size);
  }
  if (content.empty()) return OkStatus();
  return InvalidArgumentError(
      StrCat("its file has ", content.size(), " bytes more than ", count, " texts"));
}

Status Fill(const Input& input, int64_t rows, Rng& rng, Tensor& to) {
  static_assert(std::endian::native == std::endian::little);
  const int64_t elements = input.dims.ElementCount().value_or(0);
  if (input.data == Input::Data::kFile) {
    for (int64_t row = 0; row < rows; ++row) {
      if (input.type == DataType::kBytes) {
        RETURN_IF_ERROR(PushTexts(input.content, elements / rows, to));
      } else {
        std::memcpy(to.Extend(input.content.size() / ElementSize(input.type)), input.content.data(),
                    input.content.size());
      }
    }
    return OkStatus();
  }
  for (int64_t i = 0; i < elements; ++i) {
    if (input.data == Input::Data::kRandom) {
      PushRandom(input.type, rng, to);
    } else if (input.type == DataType::kBytes) {
      to.PushString("");
    }
  }
  if (input.data == Input::Data::kZero && input.type != DataType::kBytes) {
    const auto bytes = static_cast<size_t>(elements) * ElementSize(input.type);
    std::memset(to.Extend(static_cast<size_t>(elements)), 0, bytes);
  }
  return OkStatus();
}

}  // namespace

Result<std::vector<Tensor>> WarmupTensors(const TritonConfig::Warmup& warmup,
                                          const Signature& signature, Rng& rng) {
  const std::string name = StrCat(kTritonConfigName, ": model_warmup ", warmup.name);
  auto wrong = [&](const std::string& input, std::string_view what) {
    return InvalidArgumentError(StrCat(name, ": input ", input, ": ", what));
  };
  std::vector<Tensor> tensors;
  size_t taken = 0;
  for (const TensorSpec& spec : signature.inputs) {
    auto given = std::find_if(warmup.inputs.begin(), warmup.inputs.end(),
                              [&](const Input& input) { return input.name == spec.name; });
    if (given == warmup.inputs.end()) {
      if (spec.optional) continue;
      return wrong(spec.name, "the model needs it, and nothing is said of it");
    }
    ++taken;
    Tensor& to = tensors.emplace_back();
    to.Reset(given->name, given->type);
    to.shape() = given->dims;
    if (Status filled = Fill(*given, given->rows, rng, to); !filled.ok())
      return wrong(spec.name, filled.message());
    if (Status fits = CheckAgainst(spec, to.View()); !fits.ok())
      return Annotate(std::move(fits), name);
  }
  if (taken == warmup.inputs.size()) return tensors;
  for (const Input& input : warmup.inputs) {
    if (signature.FindInput(input.name) == nullptr)
      return wrong(input.name, "the model has none of that name");
  }
  return tensors;
}

}  // namespace leadsman
