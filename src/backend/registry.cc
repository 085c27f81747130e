#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/strings.h"

namespace leadsman {

Result<std::shared_ptr<Backend>> BackendRegistry::ForFormat(const std::string& format) const {
  auto it = entries_.find(format);
  if (it == entries_.end()) {
    std::vector<std::string> known;
    for (const auto& [name, entry] : entries_) known.push_back(name);
    return UnimplementedError(
        StrCat("no backend serves the format \"", format,
               "\"; formats known here: ", HumanList(known, "none, no plug-in was found")));
  }
  if (!it->second.backend) {
    return UnavailableError(StrCat("the backend for the format \"", format,
                                   "\" is not available: ", it->second.missing.message()));
  }
  return it->second.backend;
}

}  // namespace leadsman
