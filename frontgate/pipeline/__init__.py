"""What gateway and hub share: segments, composing and taking bundles, issuing receipts, loops.

Data flows one way: drop → sealed segment → bundle → taken segment → verified package → delivery;
receipts travel the same road home. Each stage is a function; its outcome becomes real in one
journal transaction.
"""
