// SHA-256 against the examples of its standard and the lengths at which padding changes.
#include "cuda/runtime/sha256.h"

#include <string>

#include "check.h"

using nearfield::cuda::hex;
using nearfield::cuda::sha256;

TEST(examples_of_the_standard) {
    CHECK_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_EQ(hex(sha256("abc")),
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
             "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK_EQ(hex(sha256(std::string(1000000, 'a'))),
             "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(lengths_around_a_block) {
    // From another implementation.
    CHECK_EQ(hex(sha256(std::string(55, 'x'))),
             "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072");
    CHECK_EQ(hex(sha256(std::string(56, 'x'))),
             "04c26261370ee7541549d16dee320c723e3fd14671e66a099afe0a377c16888e");
    CHECK_EQ(hex(sha256(std::string(64, 'x'))),
             "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c");
}
