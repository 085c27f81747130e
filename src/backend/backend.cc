#include "backend/backend.h"

#include <utility>

#include "base/check.h"
#include "base/strings.h"

namespace leadsman {

LoadedModel::LoadedModel(std::vector<NamedSignature> signatures)
    : signatures_(std::move(signatures)) {
  CHECK(!signatures_.empty());
}

LoadedModel::LoadedModel(Signature signature)
    : signatures_({{kDefaultSignatureName, kPredictMethod, std::move(signature)}}) {}

Result<size_t> LoadedModel::FindSignature(std::string_view name) const {
  if (name.empty()) return size_t{0};
  std::vector<std::string> known;
  for (size_t i = 0; i < signatures_.size(); ++i) {
    if (signatures_[i].name == name) return i;
    known.push_back(signatures_[i].name);
  }
  return NotFoundError(
      StrCat("the model has no signature \"", CutUtf8(name, 128), "\"; it has ", HumanList(known)));
}

}  // namespace leadsman
