//! The first bytes of a connection, and the targets of HTTP requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem::connection::{Greeting, greet};
use mainstem::wire::capability::{Capabilities, negotiate};
use mainstem::wire::handshake::{StreamRequest, encode_request, parse_reply};

fuzz_target!(|data: &[u8]| {
    let _ = parse_reply(data);
    if let Greeting::Child { request, consumed } = greet(data) {
        assert!(consumed <= data.len());
        let _ = request.check();
        let _ = negotiate(Capabilities::from_version(request.ver), Capabilities::OURS, &[]);
        // What we would send on for it is a request again, with the same names.
        let encoded = encode_request(&request);
        let (again, _) = StreamRequest::parse(&encoded).expect("ours").expect("complete");
        assert_eq!(again.ver, request.ver);
    }
});
