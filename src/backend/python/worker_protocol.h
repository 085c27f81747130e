#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

/// What goes between the server and a Python worker; plugins/python/leadsman_worker/channel.py and tensors.py have the same
/// in Python. Both must change together, and kProtocolVersion with them.
///
/// Messages have a fixed size and go over a socket; everything else lies in two regions of shared memory, one that the
/// server writes (requests) and one that the worker writes (responses). A tensor in a region is a descriptor at its
/// beginning (type u8, rank u8, index u16, 0 u32, offset u64, bytes u64, then the dimensions as i64) and its elements at
/// `offset`; strings are n+1 ends as u64, the first being 0, and then the bytes.
namespace leadsman::python {

inline constexpr uint16_t kProtocolVersion = 1;

/// File descriptors of a worker, as it inherits them.
inline constexpr int kLifelineFd = 3;
inline constexpr int kSocketFd = 4;
inline constexpr int kRequestFd = 5;
inline constexpr int kResponseFd = 6;

enum class MessageKind : uint16_t {
  kLoad = 1,  ///< count: kProtocolVersion; a: size of the JSON in the request region
  kRun = 2,   ///< count: tensors; number: echoed; a: size of the descriptors
  kQuit = 3,  ///< close the model and end
  kRegion =
      4,  ///< count: 0 request, 1 response; the next byte on the socket carries the new region's descriptor
  kRefused = 5,   ///< to kNeed; a: the limit
  kHello = 101,   ///< count: the worker's protocol version; a: its process id
  kLoaded = 102,  ///< a: size of the JSON in the response region
  kDone = 103,    ///< count: tensors; number; a: size of the descriptors
  kFailed = 104,  ///< count: status code; number; a: size of the text in the response region
  kNeed = 105,    ///< a: wanted size of the response region
};

struct Message {
  MessageKind kind{};
  uint16_t count = 0;
  uint32_t number = 0;
  uint64_t a = 0;
  uint64_t b = 0;
};
static_assert(sizeof(Message) == 24);

/// How inputs lie in a request region.
struct InputLayout {
  size_t head_bytes = 0;   ///< of the descriptors
  size_t total_bytes = 0;  ///< the region must have as many
  size_t count = 0;
};

/// INVALID_ARGUMENT naming the input when one is missing that is not optional, or one came that the signature does not
/// have; UNIMPLEMENTED for a type that numpy does not have.
Result<InputLayout> LayOutInputs(const Signature& signature, std::span<const TensorView> inputs);
/// `region` has layout.total_bytes at least.
void WriteInputs(const Signature& signature, std::span<const TensorView> inputs,
                 const InputLayout& layout, std::span<char> region);

/// A tensor's descriptor without its dimensions.
struct TensorHead {
  uint8_t type = 0;
  uint8_t rank = 0;
  uint16_t index = 0;
  uint32_t reserved = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
static_assert(sizeof(TensorHead) == 24);

/// The outputs of one call, in memory of the server's own. Used again from call to call. Confined.
class OutputBuffer {
 public:
  std::span<const TensorView> views() const { return views_; }

 private:
  friend Status ReadOutputs(const Signature&, const Message&, std::span<const char>, OutputBuffer&);
  std::vector<char> head_;
  std::vector<char> bytes_;
  std::vector<TensorHead> heads_;
  std::vector<std::string_view> strings_;
  std::vector<TensorView> views_;
};

/// Copies what a kDone message speaks of out of the response region. The worker is not to be trusted: whatever stands
/// in the message and in the region, also when it changes meanwhile, nothing outside of the region is read. INTERNAL says
/// what does not agree with the signature.
Status ReadOutputs(const Signature& signature, const Message& done, std::span<const char> region,
                   OutputBuffer& out);

/// The text of a kFailed or kLoaded message; empty when it does not lie in the region. At most `max_bytes`.
std::string ReadText(const Message& message, std::span<const char> region, size_t max_bytes);

}  // namespace leadsman::python
