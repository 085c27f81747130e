#pragma once

#include <string_view>

namespace leadsman::intake {

/// The model that a call of V2 or TensorFlow Serving names in its first message. Texts point into it.
struct CalledByGrpc {
  std::string_view model;
  int64_t version = 0;  ///< 0: none
};
/// `path`: "/package.Service/Method". `body`: as on the wire, and it may end early; what does not stand there stays empty.
CalledByGrpc ReadGrpcModel(std::string_view path, std::string_view body);

}  // namespace leadsman::intake
