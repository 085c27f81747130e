# cmake -DIN=set.binpb -DOUT=descriptors.cc -P EmbedDescriptors.cmake: the bytes of IN as a C++ array.
file(READ ${IN} bytes HEX)
string(LENGTH ${bytes} digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes ${bytes})
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes ${bytes})
file(WRITE ${OUT} "// Made by EmbedDescriptors.cmake from ${IN}.
#include <cstddef>
namespace leadsman::rpc {
extern const unsigned char kDescriptorSet[];
extern const size_t kDescriptorSetSize;
const unsigned char kDescriptorSet[] = {
${bytes}};
const size_t kDescriptorSetSize = ${size};
}  // namespace leadsman::rpc
")
