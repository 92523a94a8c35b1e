// certpin pin set "bank\u002dapp", version 3
// Made by: certpin export flutter. Do not edit: change the pin file, and export it again.

/// The pins of the app.
library;

import 'package:certpin/certpin.dart';

/// The pin set: give it to a `PinnedHttpClient`.
const PinSet pins = PinSet(
  format: 1,
  name: 'bank-app',
  version: 3,
  policies: [
    HostPolicy(
      pattern: 'api.bank.example',
      mode: 'enforce',
      match: 'leaf',
      pins: [
        'sha256/K2kVyeYcWi1X6QZ7KxiDuyncTqMSbiChj7u58R9y3qU=',
        'sha256/bJT4rZGQcU2bUqhBkvU6cXcev3xwwN0kq/xSGx+T6M8=',
      ],
      reportTo: [
        'https://pins.bank-reports.example/flutter',
      ],
    ),
    HostPolicy(
      pattern: '**.internal.bank.example',
      mode: 'enforce',
      match: 'ca',
      pins: [
        'sha256/Db/VJft3maYW7E0D4jCJVJPiFDVJVCez2qlTFyg1ADk=',
        'sha256/ATw/E6aPEkzN8lo+lJmyTo8Evq3GlNifGZVgwPg7vZw=',
      ],
      trust: '''
-----BEGIN CERTIFICATE-----
MIIBnzCCAUWgAwIBAgIUBwQtjwfh7vFSU+PNg84dD74gPlYwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSQmFuayBpbnRlcm5hbCByb290MB4XDTI1MTEwMTAwMDAwMFoX
DTM2MTAyOTAwMDAwMFowHTEbMBkGA1UEAwwSQmFuayBpbnRlcm5hbCByb290MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELJjLWbEacd71dK4+8tQ6MCX0UloSAjHM
+KvddcfOu7NEbEnBJba+jMNn/HoNqf+Z28r0H8QSTQZFJab8ENKi5aNjMGEwHQYD
VR0OBBYEFEEaQe0uzvCPfbzoWmnFDT5D8csjMB8GA1UdIwQYMBaAFEEaQe0uzvCP
fbzoWmnFDT5D8csjMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgGGMAoG
CCqGSM49BAMCA0gAMEUCIQCLzVCCJrmAVnt1Huz0kf8CnNiYUx+cq0FofvdDFsQO
6wIgQxxqvZztxgT8YI90iWBkufxburxKkgs1CPX5k8/Q/+o=
-----END CERTIFICATE-----
''',
    ),
  ],
);
