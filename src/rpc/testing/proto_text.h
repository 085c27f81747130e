#pragma once

#include <string>
#include <string_view>

namespace leadsman::rpc {

/// Messages of proto/ by protocol buffers' own library and the descriptors that this server tells its clients: the oracle
/// of the hand-written readers and writers. Type names in full: "inference.ModelInferRequest". CHECKs what is wrong.
std::string FromText(const std::string& type, const std::string& text);
/// One line; "(malformed)" when `bytes` are no such message.
std::string ToText(const std::string& type, std::string_view bytes);

}  // namespace leadsman::rpc
