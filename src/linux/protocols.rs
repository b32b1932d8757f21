//! The charts of IP, TCP, UDP and ICMP as tables; what fills them is in [`sockets`](super::sockets).

use super::chart::{Chart, absolute, chart, incremental};

pub(super) const IP: &[Chart] = &[
    chart("system.ip", "IP Bandwidth", "kilobits/s", "network", 501).area().if_not_zero().dimensions(&[
        incremental("InOctets").named("received").from("IpExt.InOctets").times(8).over(1000),
        incremental("OutOctets").named("sent").from("IpExt.OutOctets").times(8).negative().over(1000),
    ]),
    chart("ip.inerrors", "IP Input Errors", "packets/s", "errors", 4100).detail().if_not_zero().dimensions(
        &[
            incremental("InNoRoutes").named("noroutes").from("IpExt.InNoRoutes"),
            incremental("InTruncatedPkts").named("truncated").from("IpExt.InTruncatedPkts"),
            incremental("InCsumErrors").named("checksum").from("IpExt.InCsumErrors"),
        ],
    ),
    chart("ip.bcast", "IP Broadcast Bandwidth", "kilobits/s", "broadcast", 4500)
        .area()
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("InBcastOctets").named("received").from("IpExt.InBcastOctets").times(8).over(1000),
            incremental("OutBcastOctets")
                .named("sent")
                .from("IpExt.OutBcastOctets")
                .times(8)
                .negative()
                .over(1000),
        ]),
    chart("ip.bcastpkts", "IP Broadcast Packets", "packets/s", "broadcast", 4510)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("InBcastPkts").named("received").from("IpExt.InBcastPkts"),
            incremental("OutBcastPkts").named("sent").from("IpExt.OutBcastPkts").negative(),
        ]),
    chart("ip.mcast", "IP Multicast Bandwidth", "kilobits/s", "multicast", 4600)
        .area()
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("InMcastOctets").named("received").from("IpExt.InMcastOctets").times(8).over(1000),
            incremental("OutMcastOctets")
                .named("sent")
                .from("IpExt.OutMcastOctets")
                .times(8)
                .negative()
                .over(1000),
        ]),
    chart("ip.mcastpkts", "IP Multicast Packets", "packets/s", "multicast", 4610)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("InMcastPkts").named("received").from("IpExt.InMcastPkts"),
            incremental("OutMcastPkts").named("sent").from("IpExt.OutMcastPkts").negative(),
        ]),
    chart("ip.ecnpkts", "IP ECN Statistics", "packets/s", "ecn", 4700).detail().if_not_zero().dimensions(&[
        incremental("InCEPkts").named("CEP").from("IpExt.InCEPkts"),
        incremental("InNoECTPkts").named("NoECTP").from("IpExt.InNoECTPkts").negative(),
        incremental("InECT0Pkts").named("ECTP0").from("IpExt.InECT0Pkts"),
        incremental("InECT1Pkts").named("ECTP1").from("IpExt.InECT1Pkts"),
    ]),
    chart("ip.tcpconnaborts", "TCP Connection Aborts", "connections/s", "tcp", 4210)
        .if_not_zero()
        .dimensions(&[
            incremental("TCPAbortOnData").named("baddata").from("TcpExt.TCPAbortOnData"),
            incremental("TCPAbortOnClose").named("userclosed").from("TcpExt.TCPAbortOnClose"),
            incremental("TCPAbortOnMemory").named("nomemory").from("TcpExt.TCPAbortOnMemory"),
            incremental("TCPAbortOnTimeout").named("timeout").from("TcpExt.TCPAbortOnTimeout"),
            incremental("TCPAbortOnLinger").named("linger").from("TcpExt.TCPAbortOnLinger"),
            incremental("TCPAbortFailed").named("failed").from("TcpExt.TCPAbortFailed").negative(),
        ]),
    chart("ip.tcp_syn_queue", "TCP SYN Queue Issues", "packets/s", "tcp", 4215).if_not_zero().dimensions(&[
        incremental("TCPReqQFullDrop").named("drops").from("TcpExt.TCPReqQFullDrop"),
        incremental("TCPReqQFullDoCookies").named("cookies").from("TcpExt.TCPReqQFullDoCookies"),
    ]),
    chart("ip.tcp_accept_queue", "TCP Accept Queue Issues", "packets/s", "tcp", 4216)
        .if_not_zero()
        .dimensions(&[
            incremental("ListenOverflows").named("overflows").from("TcpExt.ListenOverflows"),
            incremental("ListenDrops").named("drops").from("TcpExt.ListenDrops"),
        ]),
    chart("ip.tcpreorders", "TCP Reordered Packets by Detection Method", "packets/s", "tcp", 4220)
        .if_not_zero()
        .dimensions(&[
            incremental("TCPTSReorder").named("timestamp").from("TcpExt.TCPTSReorder"),
            incremental("TCPSACKReorder").named("sack").from("TcpExt.TCPSACKReorder"),
            incremental("TCPFACKReorder").named("fack").from("TcpExt.TCPFACKReorder"),
            incremental("TCPRenoReorder").named("reno").from("TcpExt.TCPRenoReorder"),
        ]),
    chart("ip.tcpofo", "TCP Out-Of-Order Queue", "packets/s", "tcp", 4250).if_not_zero().dimensions(&[
        incremental("TCPOFOQueue").named("inqueue").from("TcpExt.TCPOFOQueue"),
        incremental("TCPOFODrop").named("dropped").from("TcpExt.TCPOFODrop").negative(),
        incremental("TCPOFOMerge").named("merged").from("TcpExt.TCPOFOMerge"),
        incremental("OfoPruned").named("pruned").from("TcpExt.OfoPruned").negative(),
    ]),
    chart("ip.tcpsyncookies", "TCP SYN Cookies", "packets/s", "tcp", 4260).if_not_zero().dimensions(&[
        incremental("SyncookiesRecv").named("received").from("TcpExt.SyncookiesRecv"),
        incremental("SyncookiesSent").named("sent").from("TcpExt.SyncookiesSent").negative(),
        incremental("SyncookiesFailed").named("failed").from("TcpExt.SyncookiesFailed").negative(),
    ]),
    chart("ip.tcpmemorypressures", "TCP Memory Pressures", "events/s", "tcp", 4290).if_not_zero().dimensions(
        &[incremental("TCPMemoryPressures").named("pressures").from("TcpExt.TCPMemoryPressures")],
    ),
];

pub(super) const IPV4: &[Chart] = &[
    chart("ipv4.packets", "IPv4 Packets", "packets/s", "packets", 5130).if_not_zero().dimensions(&[
        incremental("InReceives").named("received").from("Ip.InReceives"),
        incremental("OutRequests").named("sent").from("Ip.OutRequests").negative(),
        incremental("ForwDatagrams").named("forwarded").from("Ip.ForwDatagrams"),
        incremental("InDelivers").named("delivered").from("Ip.InDelivers"),
    ]),
    chart("ipv4.errors", "IPv4 Errors", "packets/s", "errors", 5150).detail().if_not_zero().dimensions(&[
        incremental("InDiscards").from("Ip.InDiscards"),
        incremental("OutDiscards").from("Ip.OutDiscards").negative(),
        incremental("InHdrErrors").from("Ip.InHdrErrors"),
        incremental("OutNoRoutes").from("Ip.OutNoRoutes").negative(),
        incremental("InAddrErrors").from("Ip.InAddrErrors"),
        incremental("InUnknownProtos").from("Ip.InUnknownProtos"),
    ]),
    chart("ipv4.icmp", "IPv4 ICMP Packets", "packets/s", "icmp", 5170).if_not_zero().dimensions(&[
        incremental("InMsgs").named("received").from("Icmp.InMsgs"),
        incremental("OutMsgs").named("sent").from("Icmp.OutMsgs").negative(),
    ]),
    chart("ipv4.icmp_errors", "IPv4 ICMP Errors", "packets/s", "icmp", 5171).with_previous().dimensions(&[
        incremental("InErrors").from("Icmp.InErrors"),
        incremental("OutErrors").from("Icmp.OutErrors").negative(),
        incremental("InCsumErrors").from("Icmp.InCsumErrors"),
    ]),
    chart("ipv4.icmpmsg", "IPv4 ICMP Messages", "packets/s", "icmp", 5172).if_not_zero().dimensions(&[
        incremental("InType0").named("InEchoReps").from("IcmpMsg.InType0"),
        incremental("OutType0").named("OutEchoReps").from("IcmpMsg.OutType0").negative(),
        incremental("InType3").named("InDestUnreachs").from("IcmpMsg.InType3"),
        incremental("OutType3").named("OutDestUnreachs").from("IcmpMsg.OutType3").negative(),
        incremental("InType5").named("InRedirects").from("IcmpMsg.InType5"),
        incremental("OutType5").named("OutRedirects").from("IcmpMsg.OutType5").negative(),
        incremental("InType8").named("InEchos").from("IcmpMsg.InType8"),
        incremental("OutType8").named("OutEchos").from("IcmpMsg.OutType8").negative(),
        incremental("InType9").named("InRouterAdvert").from("IcmpMsg.InType9"),
        incremental("OutType9").named("OutRouterAdvert").from("IcmpMsg.OutType9").negative(),
        incremental("InType10").named("InRouterSelect").from("IcmpMsg.InType10"),
        incremental("OutType10").named("OutRouterSelect").from("IcmpMsg.OutType10").negative(),
        incremental("InType11").named("InTimeExcds").from("IcmpMsg.InType11"),
        incremental("OutType11").named("OutTimeExcds").from("IcmpMsg.OutType11").negative(),
        incremental("InType12").named("InParmProbs").from("IcmpMsg.InType12"),
        incremental("OutType12").named("OutParmProbs").from("IcmpMsg.OutType12").negative(),
        incremental("InType13").named("InTimestamps").from("IcmpMsg.InType13"),
        incremental("OutType13").named("OutTimestamps").from("IcmpMsg.OutType13").negative(),
        incremental("InType14").named("InTimestampReps").from("IcmpMsg.InType14"),
        incremental("OutType14").named("OutTimestampReps").from("IcmpMsg.OutType14").negative(),
    ]),
    chart("ipv4.tcpsock", "IPv4 TCP Connections", "active connections", "tcp", 5200)
        .if_not_zero()
        .dimensions(&[absolute("CurrEstab").named("connections").from("Tcp.CurrEstab")]),
    chart("ipv4.tcppackets", "IPv4 TCP Packets", "packets/s", "tcp", 5204).if_not_zero().dimensions(&[
        incremental("InSegs").named("received").from("Tcp.InSegs"),
        incremental("OutSegs").named("sent").from("Tcp.OutSegs").negative(),
    ]),
    chart("ipv4.tcpopens", "IPv4 TCP Opens", "connections/s", "tcp", 5205).detail().if_not_zero().dimensions(
        &[
            incremental("ActiveOpens").named("active").from("Tcp.ActiveOpens"),
            incremental("PassiveOpens").named("passive").from("Tcp.PassiveOpens"),
        ],
    ),
    chart("ipv4.tcperrors", "IPv4 TCP Errors", "packets/s", "tcp", 5220).detail().if_not_zero().dimensions(
        &[
            incremental("InErrs").from("Tcp.InErrs"),
            incremental("InCsumErrors").from("Tcp.InCsumErrors"),
            incremental("RetransSegs").from("Tcp.RetransSegs").negative(),
        ],
    ),
    chart("ipv4.tcphandshake", "IPv4 TCP Handshake Issues", "events/s", "tcp", 5230)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("EstabResets").from("Tcp.EstabResets"),
            incremental("OutRsts").from("Tcp.OutRsts"),
            incremental("AttemptFails").from("Tcp.AttemptFails"),
            incremental("TCPSynRetrans").named("SynRetrans").from("TcpExt.TCPSynRetrans"),
        ]),
    chart("ipv4.udppackets", "IPv4 UDP Packets", "packets/s", "udp", 5300).if_not_zero().dimensions(&[
        incremental("InDatagrams").named("received").from("Udp.InDatagrams"),
        incremental("OutDatagrams").named("sent").from("Udp.OutDatagrams").negative(),
    ]),
    chart("ipv4.udperrors", "IPv4 UDP Errors", "events/s", "udp", 5310).detail().if_not_zero().dimensions(&[
        incremental("RcvbufErrors").from("Udp.RcvbufErrors"),
        incremental("SndbufErrors").from("Udp.SndbufErrors").negative(),
        incremental("InErrors").from("Udp.InErrors"),
        incremental("NoPorts").from("Udp.NoPorts"),
        incremental("InCsumErrors").from("Udp.InCsumErrors"),
        incremental("IgnoredMulti").from("Udp.IgnoredMulti"),
    ]),
    chart("ipv4.udplite", "IPv4 UDPLite Packets", "packets/s", "udplite", 5400).if_not_zero().dimensions(&[
        incremental("InDatagrams").named("received").from("UdpLite.InDatagrams"),
        incremental("OutDatagrams").named("sent").from("UdpLite.OutDatagrams").negative(),
    ]),
    chart("ipv4.udplite_errors", "IPv4 UDPLite Errors", "packets/s", "udplite", 5410)
        .with_previous()
        .dimensions(&[
            incremental("RcvbufErrors").from("UdpLite.RcvbufErrors"),
            incremental("SndbufErrors").from("UdpLite.SndbufErrors").negative(),
            incremental("InErrors").from("UdpLite.InErrors"),
            incremental("NoPorts").from("UdpLite.NoPorts"),
            incremental("InCsumErrors").from("UdpLite.InCsumErrors"),
            incremental("IgnoredMulti").from("UdpLite.IgnoredMulti"),
        ]),
    chart("ipv4.fragsout", "IPv4 Fragments Sent", "packets/s", "fragments", 5460)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("FragOKs").named("ok").from("Ip.FragOKs"),
            incremental("FragFails").named("failed").from("Ip.FragFails").negative(),
            incremental("FragCreates").named("created").from("Ip.FragCreates"),
        ]),
    chart("ipv4.fragsin", "IPv4 Fragments Reassembly", "packets/s", "fragments", 5461)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("ReasmOKs").named("ok").from("Ip.ReasmOKs"),
            incremental("ReasmFails").named("failed").from("Ip.ReasmFails").negative(),
            incremental("ReasmReqds").named("all").from("Ip.ReasmReqds"),
        ]),
];

pub(super) const IPV6: &[Chart] = &[
    chart("system.ipv6", "IPv6 Bandwidth", "kilobits/s", "network", 502).area().if_not_zero().dimensions(&[
        incremental("InOctets").named("received").from("Ip6InOctets").times(8).over(1000),
        incremental("OutOctets").named("sent").from("Ip6OutOctets").times(8).negative().over(1000),
    ]),
    chart("ipv6.packets", "IPv6 Packets", "packets/s", "packets", 6200).if_not_zero().dimensions(&[
        incremental("InReceives").named("received").from("Ip6InReceives"),
        incremental("OutRequests").named("sent").from("Ip6OutRequests").negative(),
        incremental("OutForwDatagrams").named("forwarded").from("Ip6OutForwDatagrams").negative(),
        incremental("InDelivers").named("delivers").from("Ip6InDelivers"),
    ]),
    chart("ipv6.ect", "IPv6 ECT Packets", "packets/s", "packets", 6210).if_not_zero().dimensions(&[
        incremental("InNoECTPkts").from("Ip6InNoECTPkts"),
        incremental("InECT1Pkts").from("Ip6InECT1Pkts"),
        incremental("InECT0Pkts").from("Ip6InECT0Pkts"),
        incremental("InCEPkts").from("Ip6InCEPkts"),
    ]),
    chart("ipv6.errors", "IPv6 Errors", "packets/s", "errors", 6300).detail().if_not_zero().dimensions(&[
        incremental("InDiscards").from("Ip6InDiscards"),
        incremental("OutDiscards").from("Ip6OutDiscards").negative(),
        incremental("InHdrErrors").from("Ip6InHdrErrors"),
        incremental("InAddrErrors").from("Ip6InAddrErrors"),
        incremental("InUnknownProtos").from("Ip6InUnknownProtos"),
        incremental("InTooBigErrors").from("Ip6InTooBigErrors"),
        incremental("InTruncatedPkts").from("Ip6InTruncatedPkts"),
        incremental("InNoRoutes").from("Ip6InNoRoutes"),
        incremental("OutNoRoutes").from("Ip6OutNoRoutes").negative(),
    ]),
    chart("ipv6.fragsout", "IPv6 Fragments Sent", "packets/s", "fragments6", 6401)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("FragOKs").named("ok").from("Ip6FragOKs"),
            incremental("FragFails").named("failed").from("Ip6FragFails").negative(),
            incremental("FragCreates").named("all").from("Ip6FragCreates"),
        ]),
    chart("ipv6.fragsin", "IPv6 Fragments Reassembly", "packets/s", "fragments6", 6402)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("ReasmOKs").named("ok").from("Ip6ReasmOKs"),
            incremental("ReasmFails").named("failed").from("Ip6ReasmFails").negative(),
            incremental("ReasmTimeout").named("timeout").from("Ip6ReasmTimeout").negative(),
            incremental("ReasmReqds").named("all").from("Ip6ReasmReqds"),
        ]),
    chart("ipv6.udppackets", "IPv6 UDP Packets", "packets/s", "udp6", 6601).if_not_zero().dimensions(&[
        incremental("InDatagrams").named("received").from("Udp6InDatagrams"),
        incremental("OutDatagrams").named("sent").from("Udp6OutDatagrams").negative(),
    ]),
    chart("ipv6.udperrors", "IPv6 UDP Errors", "events/s", "udp6", 6610).detail().if_not_zero().dimensions(
        &[
            incremental("RcvbufErrors").from("Udp6RcvbufErrors"),
            incremental("SndbufErrors").from("Udp6SndbufErrors").negative(),
            incremental("InErrors").from("Udp6InErrors"),
            incremental("NoPorts").from("Udp6NoPorts"),
            incremental("InCsumErrors").from("Udp6InCsumErrors"),
            incremental("IgnoredMulti").from("Udp6IgnoredMulti"),
        ],
    ),
    chart("ipv6.udplitepackets", "IPv6 UDPlite Packets", "packets/s", "udplite6", 6701)
        .if_not_zero()
        .dimensions(&[
            incremental("InDatagrams").named("received").from("UdpLite6InDatagrams"),
            incremental("OutDatagrams").named("sent").from("UdpLite6OutDatagrams").negative(),
        ]),
    chart("ipv6.udpliteerrors", "IPv6 UDP Lite Errors", "events/s", "udplite6", 6710)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("RcvbufErrors").from("UdpLite6RcvbufErrors"),
            incremental("SndbufErrors").from("UdpLite6SndbufErrors").negative(),
            incremental("InErrors").from("UdpLite6InErrors"),
            incremental("NoPorts").from("UdpLite6NoPorts"),
            incremental("InCsumErrors").from("UdpLite6InCsumErrors"),
        ]),
    chart("ipv6.bcast", "IPv6 Broadcast Bandwidth", "kilobits/s", "broadcast6", 6840)
        .area()
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("InBcastOctets").named("received").from("Ip6InBcastOctets").times(8).over(1000),
            incremental("OutBcastOctets")
                .named("sent")
                .from("Ip6OutBcastOctets")
                .times(8)
                .negative()
                .over(1000),
        ]),
    chart("ipv6.mcast", "IPv6 Multicast Bandwidth", "kilobits/s", "multicast6", 6850)
        .area()
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("InMcastOctets").named("received").from("Ip6InMcastOctets").times(8).over(1000),
            incremental("OutMcastOctets")
                .named("sent")
                .from("Ip6OutMcastOctets")
                .times(8)
                .negative()
                .over(1000),
        ]),
    chart("ipv6.mcastpkts", "IPv6 Multicast Packets", "packets/s", "multicast6", 6851)
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("InMcastPkts").named("received").from("Ip6InMcastPkts"),
            incremental("OutMcastPkts").named("sent").from("Ip6OutMcastPkts").negative(),
        ]),
    chart("ipv6.icmp", "IPv6 ICMP Messages", "messages/s", "icmp6", 6900).if_not_zero().dimensions(&[
        incremental("InMsgs").named("received").from("Icmp6InMsgs"),
        incremental("OutMsgs").named("sent").from("Icmp6OutMsgs").negative(),
    ]),
    chart("ipv6.icmpredir", "IPv6 ICMP Redirects", "redirects/s", "icmp6", 6910).if_not_zero().dimensions(&[
        incremental("InRedirects").named("received").from("Icmp6InRedirects"),
        incremental("OutRedirects").named("sent").from("Icmp6OutRedirects").negative(),
    ]),
    chart("ipv6.icmperrors", "IPv6 ICMP Errors", "errors/s", "icmp6", 6920).if_not_zero().dimensions(&[
        incremental("InErrors").from("Icmp6InErrors"),
        incremental("OutErrors").from("Icmp6OutErrors").negative(),
        incremental("InCsumErrors").from("Icmp6InCsumErrors"),
        incremental("InDestUnreachs").from("Icmp6InDestUnreachs"),
        incremental("InPktTooBigs").from("Icmp6InPktTooBigs"),
        incremental("InTimeExcds").from("Icmp6InTimeExcds"),
        incremental("InParmProblems").from("Icmp6InParmProblems"),
        incremental("OutDestUnreachs").from("Icmp6OutDestUnreachs").negative(),
        incremental("OutPktTooBigs").from("Icmp6OutPktTooBigs").negative(),
        incremental("OutTimeExcds").from("Icmp6OutTimeExcds").negative(),
        incremental("OutParmProblems").from("Icmp6OutParmProblems").negative(),
    ]),
    chart("ipv6.icmpechos", "IPv6 ICMP Echo", "messages/s", "icmp6", 6930).if_not_zero().dimensions(&[
        incremental("InEchos").from("Icmp6InEchos"),
        incremental("OutEchos").from("Icmp6OutEchos").negative(),
        incremental("InEchoReplies").from("Icmp6InEchoReplies"),
        incremental("OutEchoReplies").from("Icmp6OutEchoReplies").negative(),
    ]),
    chart("ipv6.groupmemb", "IPv6 ICMP Group Membership", "messages/s", "icmp6", 6940)
        .if_not_zero()
        .dimensions(&[
            incremental("InQueries").from("Icmp6InGroupMembQueries"),
            incremental("OutQueries").from("Icmp6OutGroupMembQueries").negative(),
            incremental("InResponses").from("Icmp6InGroupMembResponses"),
            incremental("OutResponses").from("Icmp6OutGroupMembResponses").negative(),
            incremental("InReductions").from("Icmp6InGroupMembReductions"),
            incremental("OutReductions").from("Icmp6OutGroupMembReductions").negative(),
        ]),
    chart("ipv6.icmprouter", "IPv6 Router Messages", "messages/s", "icmp6", 6950).if_not_zero().dimensions(
        &[
            incremental("InSolicits").from("Icmp6InRouterSolicits"),
            incremental("OutSolicits").from("Icmp6OutRouterSolicits").negative(),
            incremental("InAdvertisements").from("Icmp6InRouterAdvertisements"),
            incremental("OutAdvertisements").from("Icmp6OutRouterAdvertisements").negative(),
        ],
    ),
    chart("ipv6.icmpneighbor", "IPv6 Neighbor Messages", "messages/s", "icmp6", 6960)
        .if_not_zero()
        .dimensions(&[
            incremental("InSolicits").from("Icmp6InNeighborSolicits"),
            incremental("OutSolicits").from("Icmp6OutNeighborSolicits").negative(),
            incremental("InAdvertisements").from("Icmp6InNeighborAdvertisements"),
            incremental("OutAdvertisements").from("Icmp6OutNeighborAdvertisements").negative(),
        ]),
    chart("ipv6.icmpmldv2", "IPv6 ICMP MLDv2 Reports", "reports/s", "icmp6", 6970).if_not_zero().dimensions(
        &[
            incremental("InMLDv2Reports").named("received").from("Icmp6InMLDv2Reports"),
            incremental("OutMLDv2Reports").named("sent").from("Icmp6OutMLDv2Reports").negative(),
        ],
    ),
    chart("ipv6.icmptypes", "IPv6 ICMP Types", "messages/s", "icmp6", 6980).if_not_zero().dimensions(&[
        incremental("InType1").from("Icmp6InType1"),
        incremental("InType128").from("Icmp6InType128"),
        incremental("InType129").from("Icmp6InType129"),
        incremental("InType136").from("Icmp6InType136"),
        incremental("OutType1").from("Icmp6OutType1").negative(),
        incremental("OutType128").from("Icmp6OutType128").negative(),
        incremental("OutType129").from("Icmp6OutType129").negative(),
        incremental("OutType133").from("Icmp6OutType133").negative(),
        incremental("OutType135").from("Icmp6OutType135").negative(),
        incremental("OutType143").from("Icmp6OutType143").negative(),
    ]),
];
