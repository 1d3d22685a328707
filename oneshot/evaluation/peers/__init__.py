"""What one pass is judged against: other people's detectors and recognisers.

Their files are not part of this project (shared/models/get_peers.py fetches them). A peer whose file or
package is not there raises OneShotError when it is built, so that a comparison can list it as absent.
"""
